/**
 * Decoder of LZ4's legacy frame, in which Linux kernels are compressed (`lz4 -l`): a magic, then blocks, each preceded by
 * its compressed size. https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md#legacy-frame, lz4_Block_format.md
 */
export const LZ4_LEGACY_MAGIC = 0x184c2102;

const MIN_MATCH = 4;

/** @param size of the whole output, known beforehand. @throws Error when the input does not decode to exactly that. */
export function decodeLz4Legacy(input: Buffer, size: number): Buffer {
  if (input.length < 4 || input.readUInt32LE(0) !== LZ4_LEGACY_MAGIC) throw new Error('lz4: no legacy frame');
  const output = Buffer.alloc(size);
  let at = 4;
  let filled = 0;
  while (filled < size) {
    if (at + 4 > input.length) throw new Error('lz4: input ends early');
    const blockSize = input.readUInt32LE(at);
    at += 4;
    if (blockSize === LZ4_LEGACY_MAGIC) continue; // frames may follow one another
    if (at + blockSize > input.length) throw new Error('lz4: block reaches past the input');
    filled = decodeBlock(input.subarray(at, at + blockSize), output, filled);
    at += blockSize;
  }
  return output;
}

/** Decodes one block to `output` from `start`; the new end of the output. Matches stay within the block. */
function decodeBlock(block: Buffer, output: Buffer, start: number): number {
  let at = 0;
  let end = start;
  const readLength = (nibble: number): number => {
    let length = nibble;
    if (nibble < 15) return length;
    for (;;) {
      const byte = block[at++];
      if (byte === undefined) throw new Error('lz4: block ends in a length');
      length += byte;
      if (byte < 255) return length;
    }
  };
  while (at < block.length) {
    const token = block[at++]!;
    const literals = readLength(token >> 4);
    if (at + literals > block.length || end + literals > output.length) throw new Error('lz4: literals out of bounds');
    block.copy(output, end, at, at + literals);
    at += literals;
    end += literals;
    if (at === block.length) break; // the last sequence has literals only
    if (at + 2 > block.length) throw new Error('lz4: block ends in an offset');
    const offset = block.readUInt16LE(at);
    at += 2;
    const length = readLength(token & 15) + MIN_MATCH;
    if (offset === 0 || offset > end - start || end + length > output.length)
      throw new Error('lz4: match out of bounds');
    if (offset >= length) output.copyWithin(end, end - offset, end - offset + length);
    else for (let index = 0; index < length; index++) output[end + index] = output[end + index - offset]!;
    end += length;
  }
  if (end === start) throw new Error('lz4: empty block');
  return end;
}
