import { expect } from 'chai';
import { type PodDefaults, parsePodSpec } from '../../../../src/core/pod/spec.js';
import { mustFit, storageMisfit } from '../../../../src/core/template/fit.js';
import { checkRequest } from '../../../../src/core/template/request.js';
import { FAKE_HYPERVISOR_CAPABILITIES } from '../../../../src/testing/index.js';
import { throws } from '../../../support/rejects.js';

const defaults: PodDefaults = { cpus: 1, memoryMib: 128, nicSlots: 1, network: 'default' };
const shape = { memoryMib: 256, cpus: 2, nicSlots: 3 };
const asTemplate: PodDefaults = { ...defaults, memoryMib: 256, cpus: 2, allNicSlots: 3 };

describe('a pod and its template', () => {
  it('a pod that says nothing has what the template has', () => {
    const spec = parsePodSpec({ template: 'small' }, asTemplate);
    expect(spec).to.include({ memoryMib: 256, cpus: 2, nicSlots: 2, template: 'small' });
    mustFit(spec, 'small', shape);
    const none = parsePodSpec({ template: 'small', network: 'none' }, asTemplate);
    expect(none.nicSlots).to.equal(3);
    mustFit(none, 'small', shape);
  });

  it('its complete specification says the same again, and names the template', () => {
    const spec = parsePodSpec({ template: 'small', interfaces: [{}, {}] }, asTemplate);
    expect(spec.json).to.include({ template: 'small', nicSlots: 1 });
    expect({ ...parsePodSpec(spec.json, defaults) }).to.deep.equal({ ...spec });
    expect(parsePodSpec({}, defaults).json).to.not.have.property('template');
  });

  const misfits = [
    ['memory', { resource: { memory: 128 } }, 'resource.memory', '256 MiB'],
    ['CPUs', { resource: { vcpu: 1 } }, 'resource.vcpu', 'expected 2'],
    ['more NICs than slots', { interfaces: [{}, {}, {}, {}] }, 'interfaces', 'at most 3'],
    ['more free slots', { nicSlots: 3 }, 'nicSlots', 'at most 3'],
    ['a root of its own', { rootfs: '/srv/root' }, 'rootfs', 'disk'],
    ['an image', { containers: [{ command: ['a'] }, { image: '/srv/root' }] }, 'containers[1].image', 'disk'],
    ['a layer on a disk', { containers: [{ command: ['a'], layer: { kind: 'disk' } }] }, 'containers[0].layer', 'disk'],
    ['a volume', { volumes: [{ name: 'a', format: 'tmpfs' }, { name: 'b' }] }, 'volumes[1]', 'tmpfs'],
    ['a directory', { volumes: [{ name: 'a', source: '/srv', format: 'vfs' }] }, 'volumes[0]', 'shared directory'],
  ] as const;
  for (const [what, input, field, expected] of misfits) {
    it(`${what}: refused by the field's name`, () => {
      const spec = parsePodSpec({ template: 'small', ...input }, asTemplate);
      const error = throws(() => mustFit(spec, 'small', shape), 'POD_SPEC_INVALID', `${field}: `, expected);
      expect(error.details.field).to.equal(field);
    });
  }

  it('containers in the guest’s own root, with tmpfs, need no disk', () => {
    const spec = parsePodSpec({ command: ['a'], volumes: [{ name: 'a', format: 'tmpfs', path: '/a' }] }, asTemplate);
    expect(storageMisfit(spec)).to.equal(undefined);
  });
});

describe('what a template is asked to be', () => {
  const check = (input: unknown) => checkRequest(input, defaults, FAKE_HYPERVISOR_CAPABILITIES);

  it('has what a pod gets that says nothing, and room for its NIC', () => {
    expect(check({ name: 'small' })).to.deep.equal({
      name: 'small',
      shape: { memoryMib: 128, cpus: 1, nicSlots: 2 },
    });
    expect(check({ name: 'small', nicSlots: 0, kernel: '/boot/k', memoryMib: 512, cpus: 3 }).shape).to.deep.equal({
      memoryMib: 512,
      cpus: 3,
      nicSlots: 0,
      kernel: '/boot/k',
    });
  });

  for (const [field, input] of [
    ['name', { name: '../up' }],
    ['name', { name: 'auto' }],
    ['name', { name: 'none' }],
    ['name', { name: 'auto-mine' }],
    ['name', {}],
    ['name', { name: 'x'.repeat(42) }],
    ['memoryMib', { name: 'small', memoryMib: 8 }],
    ['memoryMib', { name: 'small', memoryMib: 1 << 30 }],
    ['cpus', { name: 'small', cpus: 0 }],
    ['nicSlots', { name: 'small', nicSlots: 99 }],
    ['kernel', { name: 'small', kernel: 'vmlinuz' }],
    ['memory', { name: 'small', memory: 128 }],
    ['template', null],
  ] as const) {
    it(`${JSON.stringify(input)} is refused: ${field}`, () => {
      expect(throws(() => check(input), 'TEMPLATE_INVALID', `${field}: expected`).details.field).to.equal(field);
    });
  }
});
