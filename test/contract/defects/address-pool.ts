/** Which tests of which families must fail, and no others. */
export const ADDRESS_POOL_FAILURES: Readonly<
  Record<string, { readonly families: readonly number[]; readonly tests: readonly string[] }>
> = {
  'hands out the broadcast address': {
    families: [4],
    tests: [
      'wraps round at the end, through every free address once',
      'runs dry with IPAM_EXHAUSTED, and gives again what is released',
      'never gives network, broadcast, anycast or reserved addresses, asked for or not',
      'gives concurrent callers different addresses, and exactly as many as there are',
      'never runs dry when every address is released again',
      'restricted to a part, give from it alone',
      'as large as declared are held, to their last address',
      'shared: what one instance does the other knows at once',
      'shared: concurrent requests of several instances get different addresses',
    ],
  },
  'gives reserved addresses to those who ask for them': {
    families: [4, 6],
    tests: [
      'never gives network, broadcast, anycast or reserved addresses, asked for or not',
      'do not reserve what is allocated already',
    ],
  },
  'forgets to free what is released': {
    families: [4, 6],
    tests: [
      'describes an allocation in canonical text',
      'wraps round at the end, through every free address once',
      'runs dry with IPAM_EXHAUSTED, and gives again what is released',
      'takes back what was given, with or without the prefix, and says whether it was allocated',
      'never runs dry when every address is released again',
      'releases all that an owner holds, in every network, and nothing else',
      'change their restriction only while unused',
      'as large as declared are held, to their last address',
      'durable: allocations, owners, order and restriction survive',
      'shared: what one instance does the other knows at once',
      'shared: instances that lag far behind catch up',
    ],
  },
  'releases a bare address only: with its prefix it is not found': {
    families: [4, 6],
    tests: [
      'describes an allocation in canonical text',
      'takes back what was given, with or without the prefix, and says whether it was allocated',
      'never runs dry when every address is released again',
    ],
  },
  'takes x.1/24 for another network than x.0/24': {
    families: [4, 6],
    tests: ['describes an allocation in canonical text', 'are one, whichever of their addresses names them'],
  },
  'takes an invalid address for "any"': {
    families: [4, 6],
    tests: ['takes no invalid text for "any": it is IPAM_ADDRESS_INVALID, named, and gives nothing'],
  },
  'skips the first address when it wraps round': {
    families: [4, 6],
    tests: [
      'wraps round at the end, through every free address once',
      'never runs dry when every address is released again',
      'as large as declared are held, to their last address',
    ],
  },
  'never gives the last address': {
    families: [4, 6],
    tests: [
      'wraps round at the end, through every free address once',
      'runs dry with IPAM_EXHAUSTED, and gives again what is released',
      'gives concurrent callers different addresses, and exactly as many as there are',
      'never runs dry when every address is released again',
      'restricted to a part, give from it alone',
      'as large as declared are held, to their last address',
      'shared: what one instance does the other knows at once',
      'shared: concurrent requests of several instances get different addresses',
    ],
  },
  'always gives the lowest free address': {
    families: [4, 6],
    tests: [
      'gives the next free one after the last given',
      'wraps round at the end, through every free address once',
      'never runs dry when every address is released again',
      'durable: allocations, owners, order and restriction survive',
    ],
  },
  'forgets that an address asked for was the last given': {
    families: [4, 6],
    tests: [
      'gives the next free one after the last given',
      'wraps round at the end, through every free address once',
      'durable: allocations, owners, order and restriction survive',
    ],
  },
  'gives an address that is taken': {
    families: [4, 6],
    tests: [
      'describes an allocation in canonical text',
      'refuses an address that is taken, and leaves it to its owner',
      'durable: allocations, owners, order and restriction survive',
    ],
  },
  'says "taken" and not by whom': {
    families: [4, 6],
    tests: ['refuses an address that is taken, and leaves it to its owner'],
  },
  'gives an address twice when it runs dry': {
    families: [4, 6],
    tests: [
      'wraps round at the end, through every free address once',
      'runs dry with IPAM_EXHAUSTED, and gives again what is released',
      'never gives network, broadcast, anycast or reserved addresses, asked for or not',
      'gives concurrent callers different addresses, and exactly as many as there are',
      'restricted to a part, give from it alone',
      'of one or two addresses give all of them',
      'shared: what one instance does the other knows at once',
      'shared: concurrent requests of several instances get different addresses',
    ],
  },
  'ignores the prefix of an address': {
    families: [4, 6],
    tests: [
      'takes no invalid text for "any": it is IPAM_ADDRESS_INVALID, named, and gives nothing',
      'refuses what is no address of the network, and releases nothing',
    ],
  },
  'ignores the restriction for addresses asked for': {
    families: [4, 6],
    tests: ['restricted to a part, give from it alone', 'durable: allocations, owners, order and restriction survive'],
  },
  'changes the restriction under allocations': {
    families: [4, 6],
    tests: ['change their restriction only while unused'],
  },
  'reserves what is allocated': { families: [4, 6], tests: ['do not reserve what is allocated already'] },
  'starts afresh when a network is registered again': {
    families: [4, 6],
    tests: [
      'are one, whichever of their addresses names them',
      'may be registered again: allocations and order stay',
      'change their restriction only while unused',
      'do not reserve what is allocated already',
      'durable: allocations, owners, order and restriction survive',
    ],
  },
  'keeps allocations past unregister()': {
    families: [4, 6],
    tests: ['forget their allocations when unregistered, which may come twice'],
  },
  'refuses to unregister twice': {
    families: [4, 6],
    tests: [
      'are not found before they are registered',
      'forget their allocations when unregistered, which may come twice',
    ],
  },
  'releases an owner in the first network only': {
    families: [4, 6],
    tests: ['releases all that an owner holds, in every network, and nothing else'],
  },
  'releases owners whose names begin alike': {
    families: [4, 6],
    tests: ['releases all that an owner holds, in every network, and nothing else'],
  },
  'counts what can never be allocated': {
    families: [4, 6],
    tests: [
      'restricted to a part, give from it alone',
      'as large as declared are held, to their last address',
      'are listed in order of address, and their use counted',
    ],
  },
  'lists in the order of allocation': {
    families: [4, 6],
    tests: ['are listed in order of address, and their use counted'],
  },
  'goes on after an abort': {
    families: [4, 6],
    tests: ['do nothing when the signal has fired, and pass its reason on'],
  },
  'races with itself: waits between looking and writing': {
    families: [4, 6],
    tests: [
      'gives concurrent callers different addresses, and exactly as many as there are',
      'shared: concurrent requests of several instances get different addresses',
    ],
  },
  'keeps in memory what it could not write': {
    families: [4, 6],
    tests: ['change nothing when they cannot be written down, and work again afterwards'],
  },
  'swallows a failed write': {
    families: [4, 6],
    tests: ['change nothing when they cannot be written down, and work again afterwards'],
  },
  'is not durable': {
    families: [4, 6],
    tests: [
      'durable: allocations, owners, order and restriction survive',
      'shared: what one instance does the other knows at once',
      'shared: all() tells every allocation of every network, whoever registered it',
      'shared: instances that lag far behind catch up',
      'shared: concurrent requests of several instances get different addresses',
    ],
  },
  'does not find networks that are as large as it declares': {
    families: [4, 6],
    tests: [
      'as large as declared are held, to their last address',
      'shared: all() tells every allocation of every network, whoever registered it',
      'shared: instances that lag far behind catch up',
    ],
  },
  'keeps the edges of networks that have none': {
    families: [4, 6],
    tests: ['of one or two addresses give all of them'],
  },
};
