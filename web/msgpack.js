// MessagePack values, as the hub protocol uses them.
// https://github.com/msgpack/msgpack/blob/master/spec.md

/** Values nested deeper than this are refused, in both directions. */
const maxDepth = 64;

const utf8 = new TextEncoder();
// ignoreBOM keeps a byte order mark, which is part of a string like any other.
const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * An extension value of a type that this module does not know.
 * @typedef {{ extension: number, data: Uint8Array }} Extension
 */

/**
 * Encodes one value. Integers take their shortest form, undefined is nil, a
 * Date is a timestamp; members of an object that are undefined are left out.
 *
 * @param {unknown} value
 * @returns {Uint8Array}
 * @throws {TypeError} for what MessagePack cannot hold, such as a function
 */
export function encode(value) {
  const w = new Writer();
  w.value(value, 0);
  return w.bytes();
}

/**
 * Decodes one value, which must fill all of bytes. Integers beyond what a
 * number holds exactly become a bigint.
 *
 * @param {Uint8Array} bytes
 * @returns {unknown}
 * @throws {RangeError | TypeError} for what is cut off or malformed
 */
export function decode(bytes) {
  const r = new Reader(bytes);
  const v = r.value(0);
  if (r.at !== bytes.length) throw new RangeError(`msgpack: ${bytes.length - r.at} bytes behind the value`);
  return v;
}

class Writer {
  #buf = new Uint8Array(128);
  #view = new DataView(this.#buf.buffer);
  #n = 0;

  bytes() {
    return this.#buf.slice(0, this.#n);
  }

  /** @param {number} n room that is needed */
  #grow(n) {
    if (this.#n + n <= this.#buf.length) return;
    const bigger = new Uint8Array(Math.max(2 * this.#buf.length, this.#n + n));
    bigger.set(this.#buf);
    this.#buf = bigger;
    this.#view = new DataView(bigger.buffer);
  }

  /** @param {number} b */
  #u8(b) {
    this.#grow(1);
    this.#buf[this.#n++] = b;
  }

  /** @param {number} head @param {number} v */
  #u16(head, v) {
    this.#grow(3);
    this.#buf[this.#n] = head;
    this.#view.setUint16(this.#n + 1, v);
    this.#n += 3;
  }

  /** @param {number} head @param {number} v */
  #u32(head, v) {
    this.#grow(5);
    this.#buf[this.#n] = head;
    this.#view.setUint32(this.#n + 1, v);
    this.#n += 5;
  }

  /** @param {number} head @param {bigint} v its low 64 bits are written */
  #u64(head, v) {
    this.#grow(9);
    this.#buf[this.#n] = head;
    this.#view.setBigUint64(this.#n + 1, BigInt.asUintN(64, v));
    this.#n += 9;
  }

  /** @param {Uint8Array} b */
  #raw(b) {
    this.#grow(b.length);
    this.#buf.set(b, this.#n);
    this.#n += b.length;
  }

  /** @param {unknown} v @param {number} depth */
  value(v, depth) {
    if (depth > maxDepth) throw new TypeError("msgpack: nested too deeply");
    switch (typeof v) {
      case "undefined":
        return this.#u8(0xc0);
      case "boolean":
        return this.#u8(v ? 0xc3 : 0xc2);
      case "number":
        return Number.isSafeInteger(v) ? this.#int(v) : this.#float(v);
      case "bigint":
        return this.#bigint(v);
      case "string":
        return this.#string(v);
      case "object":
        if (v === null) return this.#u8(0xc0);
        if (v instanceof Uint8Array) return this.#bin(v);
        if (v instanceof Date) return this.#date(v);
        if (Array.isArray(v)) {
          this.#head(v.length, 0x90, 16, 0xdc);
          for (const item of v) this.value(item, depth + 1);
          return;
        }
        return this.#map(v, depth);
      default:
        throw new TypeError(`msgpack: a ${typeof v} cannot be encoded`);
    }
  }

  /** @param {number} v a safe integer */
  #int(v) {
    if (v >= 0) {
      if (v < 0x80) return this.#u8(v);
      if (v <= 0xff) return this.#u8(0xcc), this.#u8(v);
      if (v <= 0xffff) return this.#u16(0xcd, v);
      if (v <= 0xffffffff) return this.#u32(0xce, v);
      return this.#u64(0xcf, BigInt(v));
    }
    if (v >= -0x20) return this.#u8(v & 0xff);
    if (v >= -0x80) return this.#u8(0xd0), this.#u8(v & 0xff);
    if (v >= -0x8000) return this.#u16(0xd1, v & 0xffff);
    if (v >= -0x80000000) return this.#u32(0xd2, v >>> 0);
    return this.#u64(0xd3, BigInt(v));
  }

  /** @param {number} v */
  #float(v) {
    this.#grow(9);
    this.#buf[this.#n] = 0xcb;
    this.#view.setFloat64(this.#n + 1, v);
    this.#n += 9;
  }

  /** @param {bigint} v */
  #bigint(v) {
    if (v >= -0x8000000000000000n && v < 0n) return this.#u64(0xd3, v);
    if (v >= 0n && v <= 0xffffffffffffffffn) return this.#u64(0xcf, v);
    throw new TypeError("msgpack: the integer takes more than 64 bits");
  }

  /** @param {string} s */
  #string(s) {
    const b = utf8.encode(s);
    if (b.length < 32) this.#u8(0xa0 | b.length);
    else if (b.length <= 0xff) this.#u8(0xd9), this.#u8(b.length);
    else if (b.length <= 0xffff) this.#u16(0xda, b.length);
    else this.#u32(0xdb, b.length);
    this.#raw(b);
  }

  /** @param {Uint8Array} b */
  #bin(b) {
    if (b.length <= 0xff) this.#u8(0xc4), this.#u8(b.length);
    else if (b.length <= 0xffff) this.#u16(0xc5, b.length);
    else this.#u32(0xc6, b.length);
    this.#raw(b);
  }

  /** @param {Date} d */
  #date(d) {
    const ms = d.getTime();
    if (Number.isNaN(ms)) throw new TypeError("msgpack: the date is invalid");
    const seconds = Math.floor(ms / 1000);
    const nanos = (ms - seconds * 1000) * 1e6;
    if (nanos === 0 && seconds >= 0 && seconds <= 0xffffffff) {
      this.#u8(0xd6);
      return this.#u32(0xff, seconds);
    }
    if (seconds >= 0 && seconds < 2 ** 34) {
      this.#u8(0xd7);
      return this.#u64(0xff, (BigInt(nanos) << 34n) | BigInt(seconds));
    }
    this.#u8(0xc7);
    this.#u8(12);
    this.#u32(0xff, nanos);
    this.#grow(8);
    this.#view.setBigInt64(this.#n, BigInt(seconds));
    this.#n += 8;
  }

  /** @param {object} o @param {number} depth */
  #map(o, depth) {
    const members = Object.entries(o).filter(([, v]) => v !== undefined);
    this.#head(members.length, 0x80, 16, 0xde);
    for (const [k, v] of members) {
      this.#string(k);
      this.value(v, depth + 1);
    }
  }

  /**
   * The head of an array or a map.
   * @param {number} n @param {number} fix @param {number} below @param {number} wide
   */
  #head(n, fix, below, wide) {
    if (n < below) this.#u8(fix | n);
    else if (n <= 0xffff) this.#u16(wide, n);
    else this.#u32(wide + 1, n);
  }
}

class Reader {
  #buf;
  #view;
  at = 0;

  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.#buf = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /**
   * Moves on by n bytes and returns where they start. A declared length is
   * believed only as far as there are bytes.
   * @param {number} n
   */
  #take(n) {
    const from = this.at;
    if (n > this.#buf.length - from) throw new RangeError("msgpack: cut off");
    this.at += n;
    return from;
  }

  /** @param {number} depth @returns {unknown} */
  value(depth) {
    if (depth > maxDepth) throw new RangeError("msgpack: nested too deeply");
    const b = this.#view.getUint8(this.#take(1));
    if (b < 0x80) return b;
    if (b < 0x90) return this.#map(b & 0x0f, depth);
    if (b < 0xa0) return this.#array(b & 0x0f, depth);
    if (b < 0xc0) return this.#string(b & 0x1f);
    if (b >= 0xe0) return b - 0x100;
    switch (b) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#bin(this.#length(b - 0xc4));
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#ext(this.#length(b - 0xc7));
      case 0xca:
        return this.#view.getFloat32(this.#take(4));
      case 0xcb:
        return this.#view.getFloat64(this.#take(8));
      case 0xcc:
        return this.#view.getUint8(this.#take(1));
      case 0xcd:
        return this.#view.getUint16(this.#take(2));
      case 0xce:
        return this.#view.getUint32(this.#take(4));
      case 0xcf:
        return exact(this.#view.getBigUint64(this.#take(8)));
      case 0xd0:
        return this.#view.getInt8(this.#take(1));
      case 0xd1:
        return this.#view.getInt16(this.#take(2));
      case 0xd2:
        return this.#view.getInt32(this.#take(4));
      case 0xd3:
        return exact(this.#view.getBigInt64(this.#take(8)));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#ext(1 << (b - 0xd4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#string(this.#length(b - 0xd9));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#length(b - 0xdc + 1), depth);
      case 0xde:
      case 0xdf:
        return this.#map(this.#length(b - 0xde + 1), depth);
      default:
        throw new RangeError(`msgpack: the byte 0x${b.toString(16)} starts no value`);
    }
  }

  /** @param {number} width 0: one byte, 1: two, 2: four */
  #length(width) {
    const from = this.#take(1 << width);
    return width === 0 ? this.#view.getUint8(from) : width === 1 ? this.#view.getUint16(from) : this.#view.getUint32(from);
  }

  /** @param {number} n */
  #bin(n) {
    const from = this.#take(n);
    return this.#buf.slice(from, from + n);
  }

  /** @param {number} n */
  #string(n) {
    const from = this.#take(n);
    return text.decode(this.#buf.subarray(from, from + n));
  }

  /** @param {number} n @param {number} depth */
  #array(n, depth) {
    const list = [];
    for (let i = 0; i < n; i++) list.push(this.value(depth + 1));
    return list;
  }

  /** @param {number} n @param {number} depth */
  #map(n, depth) {
    /** @type {Record<string, unknown>} */
    const o = {};
    for (let i = 0; i < n; i++) {
      const k = String(this.value(depth + 1));
      const v = this.value(depth + 1);
      // An ordinary assignment of __proto__ would change the object's kind.
      if (k === "__proto__") Object.defineProperty(o, k, { value: v, enumerable: true, configurable: true, writable: true });
      else o[k] = v;
    }
    return o;
  }

  /** @param {number} n @returns {Date | Extension} */
  #ext(n) {
    const type = this.#view.getInt8(this.#take(1));
    const from = this.#take(n);
    if (type === -1 && (n === 4 || n === 8 || n === 12)) {
      let seconds, nanos;
      if (n === 4) {
        seconds = this.#view.getUint32(from);
        nanos = 0;
      } else if (n === 8) {
        const both = this.#view.getBigUint64(from);
        seconds = Number(both & 0x3ffffffffn);
        nanos = Number(both >> 34n);
      } else {
        nanos = this.#view.getUint32(from);
        seconds = Number(this.#view.getBigInt64(from + 4));
      }
      if (nanos > 999_999_999) throw new RangeError("msgpack: a timestamp with more than 999,999,999 nanoseconds");
      return new Date(seconds * 1000 + Math.floor(nanos / 1e6));
    }
    return { extension: type, data: this.#buf.slice(from, from + n) };
  }
}

/** @param {bigint} v */
function exact(v) {
  return v >= Number.MIN_SAFE_INTEGER && v <= Number.MAX_SAFE_INTEGER ? Number(v) : v;
}
