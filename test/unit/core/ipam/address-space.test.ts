import { expect } from 'chai';
import fc from 'fast-check';
import { hasCode, isHyperplugError } from '../../../../src/core/errors.js';
import { AddressSpace, layoutOf, parseRange } from '../../../../src/core/ipam/index.js';
import { FakeAddressPool } from '../../../../src/testing/fakes/address-pool.js';
import { callOptions } from '../../../../src/testing/runner.js';
import { throws } from '../../../support/rejects.js';

const range = (text: string) => parseRange(text, 'range');
const spaceOf = (network: string, reserved: readonly string[] = [], restrictTo?: string) =>
  new AddressSpace(
    layoutOf({
      range: range(network),
      reserved: reserved.map((text) => range(`${text}/${text.includes(':') ? 128 : 32}`).getFirst()),
      ...(restrictTo === undefined ? {} : { restrictTo: range(restrictTo) }),
    }),
  );

type Step = readonly ['next' | 'take' | 'release' | 'reload', number];

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.tuple(fc.constantFrom('next', 'next', 'next', 'take', 'release', 'reload'), fc.nat(80)) as fc.Arbitrary<Step>,
  { maxLength: 200 },
);

/** What both sides of a comparison say, errors included. */
async function outcome(run: () => unknown): Promise<unknown> {
  try {
    return await run();
  } catch (error) {
    if (isHyperplugError(error)) return error.code;
    throw error;
  }
}

describe('AddressSpace', function () {
  this.timeout(60_000);

  const networks: readonly (readonly [string, (offset: number) => string, readonly string[], string?])[] = [
    ['10.0.0.0/27', (n) => `10.0.0.${n}`, ['10.0.0.1']],
    ['10.0.0.64/26', (n) => `10.0.0.${60 + n}`, ['10.0.0.70', '10.0.0.90'], '10.0.0.80/28'],
    ['10.0.0.6/31', (n) => `10.0.0.${n}`, []],
    ['fd00::/122', (n) => `fd00::${n.toString(16)}`, ['fd00::1']],
  ];
  for (const [network, at, reserved, restrictTo] of networks) {
    it(`does what a plain search does: ${network}${restrictTo ? ` restricted to ${restrictTo}` : ''}`, async () => {
      await fc.assert(
        fc.asyncProperty(steps, async (sequence) => {
          const model = new FakeAddressPool();
          let space = spaceOf(network, reserved, restrictTo);
          const options = callOptions();
          await model.register(
            {
              range: range(network),
              reserved: reserved.map((text) => range(`${text}/${text.includes(':') ? 128 : 32}`).getFirst()),
              ...(restrictTo === undefined ? {} : { restrictTo: range(restrictTo) }),
            },
            options,
          );
          for (const [kind, number] of sequence) {
            const owner = `o${number % 3}`;
            const text = at(number);
            if (kind === 'next') {
              const expected = await outcome(
                async () => (await model.request(range(network), undefined, owner, options)).address,
              );
              expect(await outcome(() => space.next(owner))).to.equal(expected);
            } else if (kind === 'take') {
              const expected = await outcome(
                async () => (await model.request(range(network), text, owner, options)).address,
              );
              expect(await outcome(() => space.take(text, owner)), text).to.equal(expected);
            } else if (kind === 'release') {
              const expected = await outcome(() => model.release(range(network), text, options));
              const released = await outcome(() => space.release(text));
              expect(typeof released === 'string' ? released : released !== undefined, text).to.equal(expected);
            } else {
              const again = spaceOf(network, reserved, restrictTo);
              again.restore(space.list(), space.lastGiven);
              space = again;
            }
          }
          const listed = (await model.list(range(network), options)).map(({ address, owner }) => ({ address, owner }));
          expect(space.list()).to.deep.equal(listed);
          expect(space.allocated).to.equal(listed.length);
          expect(space.heldBy('o1')).to.deep.equal(listed.filter(({ owner }) => owner === 'o1'));
        }),
        { numRuns: 150 },
      );
    });
  }

  it('crosses pages and full runs: a /14 but for a few holes', () => {
    const space = spaceOf('10.0.0.0/14');
    const capacity = 2 ** 18 - 2;
    for (let count = 0; count < capacity; count++) space.next('o');
    throws(() => space.next('o'), 'IPAM_EXHAUSTED', 'network 10.0.0.0/14: all 262142 addresses are allocated');
    const holes = ['10.0.0.1', '10.0.127.255', '10.0.128.0', '10.1.0.0', '10.3.255.254'];
    for (const hole of holes) expect(space.release(hole)?.address).to.equal(hole);
    expect(holes.map(() => space.next('o'))).to.deep.equal(holes);
    expect(space.allocated).to.equal(capacity);
    throws(() => space.next('o'), 'IPAM_EXHAUSTED');
  });

  it('crosses the end of a /8 and of a /64', () => {
    const v4 = spaceOf('10.0.0.0/8', ['10.0.0.1']);
    v4.take('10.255.255.253', 'o');
    expect([v4.next('o'), v4.next('o')]).to.deep.equal(['10.255.255.254', '10.0.0.2']);
    const v6 = spaceOf('fd00::/64');
    v6.take('fd00::ffff:ffff:ffff:fffe', 'a');
    expect([v6.next('b'), v6.next('c'), v6.next('c')]).to.deep.equal([
      'fd00::ffff:ffff:ffff:ffff',
      'fd00::1',
      'fd00::2',
    ]);
    v6.take('fd00::7fff:ffff:ffff:ffff', 'd');
    expect(v6.next('d')).to.equal('fd00::8000:0:0:0');
    expect(v6.list().map(({ owner }) => owner)).to.deep.equal(['c', 'c', 'd', 'd', 'a', 'b']);
    expect(v6.release('fd00::ffff:ffff:ffff:ffff')?.owner).to.equal('b');
    expect(v6.heldBy('b')).to.deep.equal([]);
  });

  it('costs nothing until it is used, whatever its size', () => {
    const before = process.memoryUsage().arrayBuffers;
    const spaces = Array.from({ length: 1_000 }, (_, index) => spaceOf(`fd00:0:0:${index.toString(16)}::/64`));
    expect(process.memoryUsage().arrayBuffers - before).to.be.below(1_000 * 16_384);
    expect(spaces).to.have.length(1_000);
  });

  it('goes on from the start when the last given lies outside of a new restriction', () => {
    const space = spaceOf('10.0.0.0/24', [], '10.0.0.128/25');
    space.restore([], '10.0.0.5');
    expect(space.next('o')).to.equal('10.0.0.128');
  });

  it('names holder, network and field in its errors', () => {
    const space = spaceOf('10.0.0.0/24', ['10.0.0.1']);
    space.take('10.0.0.9', 'pod a');
    throws(() => space.take('10.0.0.9', 'b'), 'IPAM_ADDRESS_TAKEN', 'address: 10.0.0.9 of 10.0.0.0/24', 'to pod a');
    throws(() => space.take('10.0.0.1', 'b'), 'IPAM_ADDRESS_RESERVED', 'address: expected', '10.0.0.0/24', '10.0.0.1');
    throws(
      () => space.take('10.0.1.1', 'b'),
      'IPAM_ADDRESS_OUT_OF_RANGE',
      'address: expected an address of 10.0.0.0/24',
    );
    throws(() => space.take('10.0.0.9/16', 'b'), 'IPAM_ADDRESS_INVALID', 'the prefix length /24');
    throws(() => space.take('fd00::1', 'b'), 'IPAM_ADDRESS_INVALID', 'an IPv4 address');
    expect(hasCode(new Error('x'), 'IPAM_EXHAUSTED')).to.equal(false);
  });
});
