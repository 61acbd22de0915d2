import { expect } from 'chai';
import {
  dependencyNames,
  parseDownloadStatus,
  parseSimulation,
  parseStanzas,
  parseUris,
} from '../../../../src/host/debian/apt-output.js';

describe('what apt prints', () => {
  it('simulation: new, upgraded and foreign-suffixed packages; nothing else', () => {
    const text = [
      'Reading package lists...',
      'Inst libsystemd0 [252.38-1~deb12u1] (252.39-1~deb12u2 Debian:12.15/oldstable [amd64]) []',
      'Inst linux-base (4.12.1~deb12u1 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [all])',
      'Inst qemu-system-x86:amd64 (1:7.2+dfsg-7+deb12u18+b3 Debian:12.15/oldstable [amd64])',
      'Conf libsystemd0 (252.39-1~deb12u2 Debian:12.15/oldstable [amd64])',
      'Remv busybox [1:1.35.0-4+b4]',
    ].join('\n');
    expect(parseSimulation(text)).to.deep.equal([
      { name: 'libsystemd0', version: '252.39-1~deb12u2', architecture: 'amd64' },
      { name: 'linux-base', version: '4.12.1~deb12u1', architecture: 'all' },
      { name: 'qemu-system-x86', version: '1:7.2+dfsg-7+deb12u18+b3', architecture: 'amd64' },
    ]);
  });

  it('a line that cannot be read is an error, never skipped', () => {
    expect(() => parseSimulation('Inst what is this')).to.throw('cannot read');
    expect(() => parseSimulation('Inst ../../etc (1 x [amd64])')).to.throw('not a package');
  });

  it('stanzas and their dependencies', () => {
    const text =
      'Package: linux-image-cloud-amd64\nVersion: 6.1.192-2\nDescription-en: a\n b\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2), foo:any | bar\n\nPackage: x1\n';
    const stanzas = parseStanzas(text);
    expect(stanzas.map((stanza) => stanza.get('package'))).to.deep.equal(['linux-image-cloud-amd64', 'x1']);
    expect(dependencyNames(stanzas[0]!.get('depends')!)).to.deep.equal(['linux-image-6.1.0-56-cloud-amd64', 'foo']);
  });

  it('addresses of files, and no file name that leaves the folder', () => {
    const line = (name: string) => `'http://host/pool/${name}' ${name} 2759320 SHA256:${'ab'.repeat(32)}`;
    expect(parseUris(`Reading…\n${line('libc6_2.36-9+deb12u14_amd64.deb')}\n`)).to.deep.equal([
      { fileName: 'libc6_2.36-9+deb12u14_amd64.deb', bytes: 2759320, sha256: 'ab'.repeat(32) },
    ]);
    expect(parseUris(line('qemu_1%3a7.2_amd64.deb'))[0]!.fileName).to.equal('qemu_1%3a7.2_amd64.deb');
    for (const name of ['../x.deb', '/x.deb', '.x.deb', 'x.deb/../y'])
      expect(() => parseUris(line(name)), name).to.throw();
    expect(() => parseUris("'http://host/x' x_1_all.deb 12 MD5Sum:00")).to.throw('cannot read');
  });

  it('the percentage of a download', () => {
    expect(parseDownloadStatus('dlstatus:2:11.7211:Retrieving file 2 of 2')).to.equal(11.7211);
    expect(parseDownloadStatus('Get:1 http://host/debian bookworm/main')).to.equal(undefined);
    expect(parseDownloadStatus('dlstatus:1:..:x')).to.equal(undefined);
  });
});
