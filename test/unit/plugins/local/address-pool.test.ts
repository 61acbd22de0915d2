import { expect } from 'chai';
import type { IpAddress } from '../../../../src/core/address-pool.js';
import { parseRange } from '../../../../src/core/ipam/index.js';
import type { StateKey } from '../../../../src/core/state-store.js';
import { LocalAddressPool } from '../../../../src/plugins/local/address-pool.js';
import { FakeStateMedium, FakeStateStore } from '../../../../src/testing/fakes/state-store.js';
import { callOptions, expectCode } from '../../../../src/testing/runner.js';

const range = parseRange('10.0.0.0/29', 'range');
const gateway = parseRange('10.0.0.1/32', 'gateway').getFirst() as IpAddress;
const lease = (address: string): StateKey => ['ipam', 'leases', '10.0.0.0/29', address];
const network: StateKey = ['ipam', 'networks', '10.0.0.0/29'];

describe('LocalAddressPool', () => {
  let medium: FakeStateMedium;
  let store: FakeStateStore;
  let pool: LocalAddressPool;
  const reopened = () => new LocalAddressPool(new FakeStateStore({ medium }));
  const next = async (subject = pool) => (await subject.request(range, undefined, 'o', callOptions())).address;

  beforeEach(async () => {
    medium = new FakeStateMedium();
    store = new FakeStateStore({ medium });
    pool = new LocalAddressPool(store);
    await pool.register({ range, reserved: [gateway] }, callOptions());
  });

  it('is as durable as its store', () => {
    const durable = new FakeStateStore({ capabilities: { durable: true, multiProcess: true } });
    expect(pool.capabilities.durable).to.equal(false);
    expect(new LocalAddressPool(durable).capabilities.durable).to.equal(true);
  });

  for (const how of ['garbage', 'newer'] as const) {
    it(`gives no address whose record cannot be read (${how}), and keeps the record`, async () => {
      expect([await next(), await next(), await next()]).to.deep.equal(['10.0.0.2', '10.0.0.3', '10.0.0.4']);
      medium.damage(lease('10.0.0.3'), how);
      const again = reopened();
      expect([await next(again), await next(again)]).to.deep.equal(['10.0.0.5', '10.0.0.6']);
      await expectCode(next(again), 'IPAM_EXHAUSTED');
      await expectCode(again.request(range, '10.0.0.3', 'o', callOptions()), 'IPAM_ADDRESS_TAKEN');
      await expectCode(again.release(range, '10.0.0.3', callOptions()), 'STATE_CORRUPT', 'STATE_VERSION');
      await again.releaseOwner('o', callOptions());
      expect(await again.list(range, callOptions())).to.deep.equal([]);
      expect(await store.unreadable([], callOptions())).to.have.length(1);
      await store.transaction((transaction) => transaction.delete(lease('10.0.0.3')), callOptions());
      expect((await again.request(range, '10.0.0.2', 'o', callOptions())).address).to.equal('10.0.0.2');
      expect(await next(reopened())).to.equal('10.0.0.3');
    });
  }

  it('touches nothing of a network whose record cannot be read', async () => {
    await next();
    medium.damage(network, 'garbage');
    for (const each of [pool, reopened()]) {
      await expectCode(next(each), 'STATE_CORRUPT');
      await expectCode(each.register({ range, reserved: [] }, callOptions()), 'STATE_CORRUPT');
    }
    expect(await store.list(['ipam', 'leases'], callOptions())).to.have.length(1);
  });

  it('says STATE_CORRUPT when what is stored contradicts itself', async () => {
    await store.transaction((transaction) => transaction.put(lease('10.0.0.1'), { owner: 'o' }), callOptions());
    await expectCode(next(reopened()), 'STATE_CORRUPT');
    await store.transaction((transaction) => {
      transaction.delete(lease('10.0.0.1'));
      transaction.put(lease('10.0.0.2'), { who: 'o' });
    }, callOptions());
    await expectCode(next(reopened()), 'STATE_CORRUPT');
    await store.transaction((transaction) => transaction.put(network, { tag: 1 }), callOptions());
    await expectCode(next(reopened()), 'STATE_CORRUPT');
  });

  it('refuses an owner that is nobody', async () => {
    for (const owner of ['', undefined, 5] as string[]) {
      for (const call of [
        () => pool.request(range, undefined, owner, callOptions()),
        () => pool.releaseOwner(owner, callOptions()),
      ]) {
        const error = await call().then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        expect(error).to.be.instanceOf(TypeError);
      }
    }
  });

  it('writes a lease, and a bounded history', async () => {
    for (let round = 0; round < 100; round++) {
      const address = await next();
      await pool.release(range, address, callOptions());
    }
    const record = (await store.get(network, callOptions())) as { recent: readonly unknown[] };
    expect(record.recent).to.have.length(16);
    await next();
    expect((await store.list(['ipam', 'leases'], callOptions())).map(({ value }) => value)).to.deep.equal([
      { owner: 'o' },
    ]);
  });
});
