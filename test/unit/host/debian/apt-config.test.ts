import { expect } from 'chai';
import { parseDump, privateAptConfig } from '../../../../src/host/debian/apt-config.js';

const dump = (entries: Record<string, string>) =>
  Object.entries(entries)
    .map(([name, value]) => `${name}\x1f${value}\x1e\n`)
    .join('');

describe('privateAptConfig', () => {
  const text = privateAptConfig(
    dump({
      'Acquire::http::Proxy': 'http://proxy:3128',
      'Acquire::IndexTargets::deb::DEP-11::MetaKey': 'x',
      'APT::Update::Post-Invoke::': 'rm -f /var/cache/apt/archives/*.deb || true',
      'DPkg::Post-Invoke::': 'a\nb "c"',
      'APT::Architectures::': 'amd64',
      'Dir::Etc::trustedparts': 'trusted.gpg.d',
      'Dir::State::lists': '/var/lib/apt/lists',
    }),
    '/cache/apt',
    '/var/lib/dpkg/status',
  );

  it('keeps proxies, architectures and keys', () => {
    expect(text).to.include('Acquire::http::Proxy "http://proxy:3128";\n');
    expect(text).to.include('APT::Architectures:: "amd64";\n').and.include('Dir::Etc::trustedparts "trusted.gpg.d";\n');
  });

  it('runs none of the machine’s hooks, which would touch the real system', () => {
    expect(text).not.to.match(/Invoke/);
  });

  it('fetches nothing but package lists, and writes only into its own folder', () => {
    expect(text).not.to.include('DEP-11');
    expect(text).to.include('Dir::State::lists "/cache/apt/lists";').and.not.include('/var/lib/apt');
    expect(text).to.include('Dir::Etc::parts "/dev/null";');
  });

  it('takes a dump apart even where values hold line breaks', () => {
    expect(parseDump('A\x1fx\ny\x1e\nB::\x1f1\x1e\n')).to.deep.equal([
      ['A', 'x\ny'],
      ['B::', '1'],
    ]);
  });
});
