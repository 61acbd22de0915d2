import { expect } from 'chai';
import { withHostPaths } from '../../../../src/core/pod/spec-paths.js';

const at = (spec: unknown) => withHostPaths(spec, '/etc/pods');

describe('paths of the host in a specification', () => {
  it('are of its directory where they say so: roots, images, sources', () => {
    expect(
      at({
        id: 'a',
        rootfs: '../root',
        volumes: [{ name: 'v', source: './data', path: './not-of-the-host' }],
        containers: [
          { name: 'c', image: { archive: './c.tar', reference: './r' }, volumes: [{ detail: { source: '..' } }] },
          { name: 'd', image: '.' },
        ],
      }),
    ).to.deep.equal({
      id: 'a',
      rootfs: '/etc/root',
      volumes: [{ name: 'v', source: '/etc/pods/data', path: './not-of-the-host' }],
      containers: [
        {
          name: 'c',
          image: { archive: '/etc/pods/c.tar', reference: './r' },
          volumes: [{ detail: { source: '/etc' } }],
        },
        { name: 'd', image: '/etc/pods' },
      ],
    });
  });

  for (const [what, spec] of Object.entries({
    'bare names, which may be meant as images': { rootfs: 'alpine', containers: [{ image: '.hidden/x' }] },
    'absolute paths': { rootfs: '/srv/./a' },
    'what has another shape': { rootfs: 7, volumes: { source: './x' }, containers: [null, './x', { image: ['./x'] }] },
    'no specification': ['./x'],
  })) {
    it(`leaves ${what} as they stand`, () => {
      expect(at(spec)).to.deep.equal(spec);
    });
  }
});
