// What a function in JavaScript finds around it. It runs before the function's
// source, and evaluates to the functions that the host calls.
(() => {
  'use strict';
  const host = globalThis.__host;
  delete globalThis.__host;

  const show = (v) => {
    if (typeof v === 'string') return v;
    if (v instanceof Error) return `${v.name}: ${v.message}${v.stack ? '\n' + v.stack : ''}`;
    try {
      const text = JSON.stringify(v);
      return text === undefined ? String(v) : text;
    } catch {
      return String(v);
    }
  };
  const log = (...values) => host('log', values.map(show).join(' '));
  globalThis.console = { log, info: log, warn: log, error: log, debug: log, trace: log };

  // The engine's own generator would begin alike in every call: this one is
  // seeded when a call first asks for a number.
  let seed = null;
  Math.random = () => {
    if (seed === null) seed = host('random', '').split(' ').map(Number);
    return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
  };
  const next = () => { // xoshiro128**
    const s = seed, five = Math.imul(s[1], 5), t = s[1] << 9;
    s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3]; s[2] ^= t;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return Math.imul((five << 7) | (five >>> 25), 9);
  };

  // UTF-8, for bodies that the host cannot hand over as strings.
  const decode = (bytes) => {
    const parts = [];
    for (let i = 0; i < bytes.length;) {
      const b = bytes[i++];
      const more = b < 0x80 ? 0 : b >= 0xc2 && b < 0xe0 ? 1 : b >= 0xe0 && b < 0xf0 ? 2 : b >= 0xf0 && b < 0xf5 ? 3 : -1;
      let code = more === 0 ? b : more < 0 ? 0xfffd : b & (0x3f >> more);
      for (let k = 0; k < more; k++) {
        if ((bytes[i] & 0xc0) !== 0x80) { code = 0xfffd; break; }
        code = (code << 6) | (bytes[i++] & 0x3f);
      }
      const least = [0, 0x80, 0x800, 0x10000][Math.max(more, 0)];
      if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000) || code < least) code = 0xfffd;
      parts.push(String.fromCodePoint(code));
    }
    return parts.join('');
  };
  const encode = (text) => {
    const bytes = [];
    for (const char of text) {
      let code = char.codePointAt(0);
      if (code >= 0xd800 && code < 0xe000) code = 0xfffd;
      if (code < 0x80) bytes.push(code);
      else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
      else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
      else bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    }
    return Uint8Array.from(bytes);
  };
  globalThis.TextDecoder = class TextDecoder {
    decode(input) { return input === undefined ? '' : decode(ArrayBuffer.isView(input) ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength) : new Uint8Array(input)); }
  };
  globalThis.TextEncoder = class TextEncoder {
    encode(text = '') { return encode(String(text)); }
  };

  class Headers {
    #lines = [];
    constructor(init) {
      if (init === undefined || init === null) return;
      const lines = init instanceof Headers || Array.isArray(init) ? init : Object.entries(init);
      for (const [name, value] of lines) this.append(name, value);
    }
    append(name, value) { this.#lines.push([String(name), String(value)]); }
    set(name, value) { this.delete(name); this.append(name, value); }
    delete(name) { const n = String(name).toLowerCase(); this.#lines = this.#lines.filter((l) => l[0].toLowerCase() !== n); }
    get(name) {
      const n = String(name).toLowerCase(), found = this.#lines.filter((l) => l[0].toLowerCase() === n);
      return found.length ? found.map((l) => l[1]).join(', ') : null;
    }
    has(name) { return this.get(name) !== null; }
    forEach(visit) { for (const [name, value] of this.#lines) visit(value, name, this); }
    entries() { return this.#lines.map((l) => [l[0].toLowerCase(), l[1]])[Symbol.iterator](); }
    [Symbol.iterator]() { return this.entries(); }
  }
  globalThis.Headers = Headers;

  globalThis.Response = class Response {
    constructor(body, init = {}) {
      this.body = body === undefined ? null : body;
      this.status = init.status === undefined ? 200 : init.status;
      this.headers = new Headers(init.headers);
    }
    get ok() { return this.status >= 200 && this.status < 300; }
    text() { return typeof this.body === 'string' ? this.body : decode(this.bytes()); }
    json() { return JSON.parse(this.text()); }
    bytes() {
      const b = this.body;
      if (b === null) return new Uint8Array(0);
      if (typeof b === 'string') return encode(b);
      return b instanceof ArrayBuffer ? new Uint8Array(b) : new Uint8Array(b.buffer, b.byteOffset, b.byteLength);
    }
    arrayBuffer() { return this.bytes().slice().buffer; }
    static json(value, init = {}) {
      const r = new Response(JSON.stringify(value), init);
      if (!r.headers.has('content-type')) r.headers.set('Content-Type', 'application/json');
      return r;
    }
  };

  // The host waits for the answer: the promise is settled when it is returned.
  globalThis.fetch = async (url, init = {}) => {
    const { method = 'GET', headers, body } = init;
    const lines = [...new Headers(headers)];
    let bytes = body === undefined || body === null ? new Uint8Array(0) : body;
    if (bytes instanceof ArrayBuffer) bytes = new Uint8Array(bytes);
    else if (!ArrayBuffer.isView(bytes)) bytes = encode(String(bytes));
    const words = [String(method), String(url), ...lines.map((l) => `${l[0]}: ${l[1]}`)];
    for (const word of words) if (/[\r\n\0]/.test(word)) throw new TypeError(`fetch: ${JSON.stringify(word)} has a line break in it`);
    const frame = host('fetch', words.join('\n'), bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    const head = new DataView(frame), status = head.getUint32(0, true), split = 12 + head.getUint32(4, true);
    if (status === 0) throw new TypeError('fetch: ' + decode(new Uint8Array(frame, split)));
    const received = decode(new Uint8Array(frame, 12, split - 12)).split('\n').filter(Boolean);
    return new Response(new Uint8Array(frame.slice(split)), {
      status, headers: received.map((l) => [l.slice(0, l.indexOf(':')), l.slice(l.indexOf(':') + 2)]),
    });
  };

  class Request {
    #head; #text; #bytes; #headers;
    constructor(head, text, bytes) {
      const lines = head.split('\n');
      [this.method, this.path, this.query] = lines;
      this.#head = lines; this.#text = text; this.#bytes = bytes;
    }
    get url() { return this.path + (this.query ? '?' + this.query : ''); }
    get headers() {
      if (!this.#headers) {
        this.#headers = new Headers();
        for (const line of this.#head.slice(3)) {
          const at = line.indexOf(':');
          if (at > 0) this.#headers.append(line.slice(0, at), line.slice(at + 2));
        }
      }
      return this.#headers;
    }
    get body() { return this.text(); }
    text() {
      if (this.#text === undefined) this.#text = decode(new Uint8Array(this.#bytes));
      return this.#text;
    }
    json() { return JSON.parse(this.text()); }
    bytes() { return this.#bytes === undefined ? encode(this.#text) : new Uint8Array(this.#bytes); }
    arrayBuffer() { return this.bytes().buffer; }
  }

  let handler, context, settled, binary;

  // An answer becomes one string: T and a text; J and a JSON text; or R,
  // status and header lines, an empty line, and the body. A body that a C
  // string cannot hold is taken from bytes() instead.
  const answer = (v) => {
    if (typeof v === 'string' && !v.includes('\0')) return 'T' + v;
    if (v === undefined || v === null) return 'T';
    let status = 200, lines = [], body = v;
    const raw = (b) => b instanceof ArrayBuffer || ArrayBuffer.isView(b);
    const shaped = typeof v === 'object' && !raw(v) && !Array.isArray(v) && ('body' in v || 'status' in v || 'headers' in v);
    if (shaped) {
      status = v.status === undefined ? 200 : Number(v.status);
      lines = [...new Headers(v.headers instanceof Headers ? v.headers : v.headers || {})];
      body = v.body;
    } else if (!raw(v) && typeof v !== 'string') {
      return 'J' + JSON.stringify(v);
    }
    if (body === undefined || body === null) body = '';
    if (typeof body === 'object' && !raw(body)) {
      body = JSON.stringify(body);
      if (!lines.some((l) => l[0] === 'content-type')) lines.push(['content-type', 'application/json']);
    } else if (typeof body !== 'string' && !raw(body)) body = String(body);
    for (const [name, value] of lines) {
      if (/[\r\n\0]/.test(name + value)) throw new TypeError(`the header ${JSON.stringify(name)} has a line break in it`);
    }
    const head = `R${status}\n${lines.map((l) => `${l[0]}: ${l[1]}\n`).join('')}\n`;
    if (typeof body === 'string' && !body.includes('\0')) return head + body;
    if (typeof body === 'string') body = encode(body);
    binary = body instanceof ArrayBuffer ? body : body.buffer.slice(body.byteOffset, body.byteOffset + body.byteLength);
    return 'B' + head.slice(1);
  };

  const handle = (head, text, bytes) => {
    const result = handler(new Request(head, text, bytes), context);
    if (result === null || typeof result !== 'object' || typeof result.then !== 'function') return answer(result);
    settled = undefined;
    result.then((v) => { settled = { v }; }, (e) => { settled = { e }; });
    return 'P';
  };
  const finish = () => {
    if (settled === undefined) return 'P';
    if ('e' in settled) throw settled.e;
    return answer(settled.v);
  };
  const use = (module, settings) => {
    handler = module.default;
    if (handler && typeof handler === 'object' && typeof handler.fetch === 'function') {
      const object = handler;
      handler = (request, c) => object.fetch(request, c.env, c);
    }
    if (typeof handler !== 'function') throw new TypeError('the module has no function as its default export: write export default (request) => ...');
    const { env, secrets } = JSON.parse(settings);
    context = { env, secrets };
    seed = null; // whatever the module drew, calls draw their own
  };
  return [handle, finish, () => binary, use, (e) => show(e)];
})();
