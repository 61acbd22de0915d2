/** One family's networks, in text: the same tests run on both. */
export interface Plan {
  readonly family: 4 | 6;
  /** A small network in canonical text, and named by another of its addresses. */
  readonly network: string;
  readonly sameNetwork: string;
  /** The address of that number in the network. */
  readonly at: (offset: number) => string;
  /** Offsets that can be allocated, the gateway (offset 1) apart. */
  readonly usable: readonly number[];
  /** Offsets that never can, the gateway apart. */
  readonly edges: readonly number[];
  /** The upper half of the network, and its offsets. */
  readonly half: string;
  readonly halfUsable: readonly number[];
  readonly other: string;
  readonly outside: string;
  /** Other spellings of the address at offset 5. */
  readonly spellings: readonly string[];
  readonly invalid: readonly string[];
  /** Networks without edges, with their addresses. */
  readonly tiny: readonly (readonly [string, readonly string[]])[];
  readonly huge: { readonly network: string; readonly last: string; readonly first: string; readonly capacity: bigint };
  readonly tooLarge: string;
  readonly otherFamily: string;
}

export const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

export const PLANS: readonly Plan[] = [
  {
    family: 4,
    network: '10.9.8.16/28',
    sameNetwork: '10.9.8.21/28',
    at: (offset) => `10.9.8.${16 + offset}`,
    usable: numbers(2, 14),
    edges: [0, 15],
    half: '10.9.8.24/29',
    halfUsable: numbers(8, 14),
    other: '10.9.9.16/28',
    outside: '10.9.8.32',
    spellings: ['10.9.8.21', '10.9.8.21/28'],
    invalid: [
      '',
      ' ',
      'any',
      '10.9.8',
      '10.9.8.256',
      '10.9.8.021',
      ' 10.9.8.21',
      '10.9.8.21 ',
      '10.9.8.21/',
      '0x0a.9.8.21',
    ].concat([
      '10.9.8.21/24',
      '10.9.8.21/28/28',
      '10.9.8.21%eth0',
      '::ffff:10.9.8.21',
      'fd00::5',
      '10.9.8.-1',
      '168364053',
    ]),
    tiny: [
      ['10.9.7.4/31', ['10.9.7.4', '10.9.7.5']],
      ['10.9.7.9/32', ['10.9.7.9']],
    ],
    huge: { network: '10.0.0.0/8', first: '10.0.0.1', last: '10.255.255.254', capacity: 16_777_214n },
    tooLarge: '10.0.0.0/7',
    otherFamily: 'fd00::/124',
  },
  {
    family: 6,
    network: 'fd00:9:8::10/124',
    sameNetwork: 'FD00:9:8:0::0015/124',
    at: (offset) => `fd00:9:8::${(16 + offset).toString(16)}`,
    usable: numbers(2, 15),
    edges: [0],
    half: 'fd00:9:8::18/125',
    halfUsable: numbers(8, 15),
    other: 'fd00:9:9::10/124',
    outside: 'fd00:9:8::20',
    spellings: [
      'fd00:9:8::15',
      'FD00:9:8::15',
      'fd00:0009:0008:0:0:0:0:0015',
      'fd00:9:8::15/124',
      'fd00:9:8::0.0.0.21',
    ],
    invalid: [
      '',
      'any',
      'fd00:9:8',
      'fd00:9:8::1::5',
      'fd00:9:8::15%eth0',
      ' fd00:9:8::15',
      'fd00:9:8::00015',
      ':::',
    ].concat(['fd00:9:8::15/64', 'fd00:9:8::15/', 'fd00:9:8::g', '1:2:3:4:5:6:7:8:9', '10.9.8.21', '[fd00:9:8::15]']),
    tiny: [
      ['fd00:9:7::4/127', ['fd00:9:7::4', 'fd00:9:7::5']],
      ['fd00:9:7::9/128', ['fd00:9:7::9']],
    ],
    huge: {
      network: 'fd00:1:2:3::/64',
      first: 'fd00:1:2:3::1',
      last: 'fd00:1:2:3:ffff:ffff:ffff:ffff',
      capacity: 2n ** 64n - 1n,
    },
    tooLarge: 'fd00:1:2::/63',
    otherFamily: '10.9.8.16/28',
  },
];
