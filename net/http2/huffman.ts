/**
 * The string code of HPACK (RFC 7541, Appendix B). It is canonical: codes of equal length count up in symbol order, and
 * each length starts where the shorter one ended; so the lengths of the 256 octets and EOS say it all.
 */
const lengths = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26, 30,
];
const eos = 256;
const longest = 30;

/** Per length: the first code of that length, and where its symbols begin in `symbols`. */
const firstCode: number[] = [];
const firstSymbol: number[] = [];
const countOf: number[] = [];
const symbols: number[] = [];
for (let length = 0, code = 0; length <= longest; length++) {
  code *= 2;
  firstCode.push(code);
  firstSymbol.push(symbols.length);
  for (const [symbol, bits] of lengths.entries()) if (bits === length) symbols.push(symbol);
  countOf.push(symbols.length - firstSymbol[length]!);
  code += countOf[length]!;
}

/** Decodes to a latin1 string; undefined when the bytes are no valid code (RFC 7541, 5.2: EOS, or padding that is not ones). */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = "";
  let code = 0;
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + ((byte >> bit) & 1);
      length++;
      if (length > longest) return undefined;
      const offset = code - firstCode[length]!;
      if (offset >= countOf[length]!) continue;
      const symbol = symbols[firstSymbol[length]! + offset]!;
      if (symbol === eos) return undefined;
      text += String.fromCharCode(symbol);
      code = 0;
      length = 0;
    }
  }
  return length < 8 && code === 2 ** length - 1 ? text : undefined;
}
