import { expect } from 'chai';
import { writeCpio } from '../../../../guest/image/cpio.js';
import { rootFilesystem } from '../../../../guest/image/root-filesystem.js';

const module = { path: 'lib/modules/6.1/kernel/net/a.ko', content: Buffer.from('a') };
const content = {
  agent: Buffer.from('agent'),
  busybox: Buffer.from('busybox'),
  applets: ['usr/bin/wc', 'bin/sh', 'bin/busybox', 'linuxrc'],
  modules: [module],
  bootModules: [module.path],
  modulesOnDemand: [{ name: 'squashfs', modules: [module.path, 'lib/modules/6.1/b.ko'] }],
  description: 'a "guest"\nwith $(tricks)',
};

describe('guest image: root filesystem', () => {
  const entries = rootFilesystem(content);
  const text = (path: string) => {
    const entry = entries.find((it) => it.path === path);
    return entry?.kind === 'file' ? Buffer.from(entry.content).toString() : undefined;
  };

  it('can be archived: every directory comes before what it holds', () => {
    expect(() => writeCpio(entries)).not.to.throw();
  });

  it('has the agent as /init, busybox once, and a link for each applet', () => {
    expect(text('init')).to.equal('agent');
    expect(text('bin/busybox')).to.equal('busybox');
    const links = entries.filter((entry) => entry.kind === 'symlink' && entry.target === '/bin/busybox');
    expect(links.map(({ path }) => path)).to.have.members(['usr/bin/wc', 'bin/sh', 'linuxrc']);
  });

  it('lists the modules to load by absolute path', () => {
    expect(text('etc/hyperplug/modules')).to.equal('/lib/modules/6.1/kernel/net/a.ko\n');
  });

  it('lists what to load on demand, by the name it is asked for', () => {
    const line = 'squashfs /lib/modules/6.1/kernel/net/a.ko /lib/modules/6.1/b.ko\n';
    expect(text('etc/hyperplug/modules-on-demand')).to.equal(line);
  });

  it('lets everyone write to /tmp and nobody but root into /root', () => {
    const mode = (path: string) => entries.find((entry) => entry.path === path && entry.kind === 'directory');
    expect(mode('tmp')).to.include({ mode: 0o1777 });
    expect(mode('root')).to.include({ mode: 0o700 });
  });

  it('keeps /etc/os-release a list of assignments whatever the description', () => {
    for (const line of text('etc/os-release')!.trim().split('\n')) expect(line).to.match(/^[A-Z_]+=("[^"$`\\]*"|\w+)$/);
  });

  it('does not depend on the order in which applets are listed', () => {
    const other = rootFilesystem({ ...content, applets: [...content.applets].reverse() });
    expect(writeCpio(other).equals(writeCpio(entries))).to.equal(true);
  });
});
