/**
 * The serial numbers that a certificate revocation list names (RFC 5280, section 5.1), PEM or DER. Nothing else of it is
 * looked at: neither its signature nor its dates, as etcd does; the file is the operator's.
 *
 *     CertificateList ::= SEQUENCE { tbsCertList SEQUENCE {
 *         version INTEGER OPTIONAL, signature SEQUENCE, issuer SEQUENCE, thisUpdate Time, nextUpdate Time OPTIONAL,
 *         revokedCertificates SEQUENCE OF SEQUENCE { userCertificate INTEGER, ... } OPTIONAL, ... }, ... }
 *
 * Throws when the bytes are no such list.
 */
export function revokedSerials(bytes: Buffer): Set<bigint> {
  const pem = /-----BEGIN (?:X509 )?CRL-----([\sA-Za-z0-9+/=]+)-----END/.exec(bytes.toString("latin1"));
  const [list] = elements(pem ? Buffer.from(pem[1]!, "base64") : bytes);
  const [body] = elements(contentOf(list, tag.sequence));
  const fields = elements(contentOf(body, tag.sequence));
  if (fields[0]?.tag === tag.integer) fields.shift();
  const times = fields
    .slice(2)
    .filter((field) => field.tag === tag.utcTime || field.tag === tag.generalizedTime).length;
  if (times === 0) throw notAList();
  const revoked = fields[2 + times];
  if (revoked?.tag !== tag.sequence) return new Set();
  return new Set(
    elements(revoked.content).map((entry) => {
      const [serial] = elements(contentOf(entry, tag.sequence));
      return BigInt(`0x${contentOf(serial, tag.integer).toString("hex") || "0"}`);
    }),
  );
}

interface Element {
  tag: number;
  content: Buffer;
}

const tag = { integer: 0x02, utcTime: 0x17, generalizedTime: 0x18, sequence: 0x30 };

/** DER elements that follow one another: | tag | length, short or 0x80 + n and n bytes | content |. */
function elements(bytes: Buffer): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + 2 > bytes.length) throw notAList();
    const first = bytes[at + 1]!;
    const extra = first < 0x80 ? 0 : first - 0x80;
    const start = at + 2 + extra;
    if (extra > 4 || (first >= 0x80 && extra === 0) || start > bytes.length) throw notAList();
    const end = start + (extra === 0 ? first : bytes.readUIntBE(at + 2, extra));
    if (end > bytes.length) throw notAList();
    found.push({ tag: bytes[at]!, content: bytes.subarray(start, end) });
    at = end;
  }
  return found;
}

function contentOf(element: Element | undefined, wanted: number): Buffer {
  if (element?.tag !== wanted) throw notAList();
  return element.content;
}

const notAList = () => new Error("not a certificate revocation list");
