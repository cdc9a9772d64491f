// A small MessagePack reader: enough to show what frames hold and to compare them.
// What JSON has no form for is marked: f32, f64, bin, ext.

/** The value in buf; { value, trailing } if bytes are left over. */
export function unpack(buf) {
  let at = 0;
  const skip = (n) => {
    if (at + n > buf.length) throw new Error("short");
    at += n;
    return at - n;
  };
  const uint = (n) => buf.readUIntBE(skip(n), n);
  const int = (n) => buf.readIntBE(skip(n), n);
  const long = (v) => (Number.isSafeInteger(Number(v)) ? Number(v) : `${v}`);
  const text = (n) => buf.toString("utf8", skip(n), at);
  const hex = (n) => buf.toString("hex", skip(n), at);
  const ext = (n) => ({ ext: int(1), data: hex(n) });
  const array = (n) => {
    const out = [];
    while (n-- > 0) out.push(one());
    return out;
  };
  const map = (n) => {
    const out = {};
    while (n-- > 0) {
      const key = one();
      out[typeof key === "string" ? key : JSON.stringify(key)] = one();
    }
    return out;
  };
  function one() {
    const c = uint(1);
    if (c < 0x80) return c;
    if (c < 0x90) return map(c & 15);
    if (c < 0xa0) return array(c & 15);
    if (c < 0xc0) return text(c & 31);
    if (c >= 0xe0) return c - 256;
    switch (c) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return { bin: hex(uint(1 << (c - 0xc4))) };
      case 0xc7: case 0xc8: case 0xc9: return ext(uint(1 << (c - 0xc7)));
      case 0xca: return { f32: buf.readFloatBE(skip(4)) };
      case 0xcb: return { f64: buf.readDoubleBE(skip(8)) };
      case 0xcc: case 0xcd: case 0xce: return uint(1 << (c - 0xcc));
      case 0xcf: return long(buf.readBigUInt64BE(skip(8)));
      case 0xd0: case 0xd1: case 0xd2: return int(1 << (c - 0xd0));
      case 0xd3: return long(buf.readBigInt64BE(skip(8)));
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return ext(1 << (c - 0xd4));
      case 0xd9: case 0xda: case 0xdb: return text(uint(1 << (c - 0xd9)));
      case 0xdc: case 0xdd: return array(uint(2 << (c - 0xdc)));
      case 0xde: case 0xdf: return map(uint(2 << (c - 0xde)));
      default: throw new Error(`code ${c}`);
    }
  }
  const value = one();
  return at === buf.length ? value : { value, trailing: buf.toString("hex", at) };
}

/** Splits a buffer into whole messages with their length in front; gives them and the rest. */
export function split(buf) {
  const out = [];
  for (;;) {
    let length = 0, at = 0, scale = 1, whole = false;
    while (at < buf.length && at < 5 && !whole) {
      const b = buf[at++];
      length += (b & 0x7f) * scale;
      scale *= 128;
      whole = b < 128;
    }
    if (!whole || buf.length - at < length) return [out, buf];
    out.push(buf.subarray(at, at + length));
    buf = buf.subarray(at + length);
  }
}
