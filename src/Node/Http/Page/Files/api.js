// Asks the node: POST /api/command. Who asks is kept in this window's sessionStorage, and goes only into a header.

const storage = 'leither.login';

/** What the node refused, or that it cannot be reached (status 0). */
export class NodeError extends Error {
  constructor(message, status = 200) {
    super(message.replace(/^ERR /, ''));
    this.status = status;
    this.code = message.split(' ', 1)[0];
  }
}

export const login = {
  get header() { return sessionStorage.getItem(storage); },
  /** Whether it is a passport's subject, who may have rights to several MiMei. */
  get isProved() { return this.header?.startsWith('Bearer ') ?? false; },
  get exists() { return this.header !== null; },
  byPassword(user, password) { this.set('Basic ' + toBase64(new TextEncoder().encode(`${user}:${password}`))); },
  byPassport(passport) { this.set('Passport ' + passport.trim()); },
  /** Signs in by a passport: asks for a proof first, where it wants one. Null: done; otherwise what is to be signed. */
  async byPassportOrAsk(passport, challenge) {
    const asked = await post('/api/login', challenge ? { passport: passport.trim(), challenge } : { passport: passport.trim() });
    if (asked.challenge) return asked;
    if (asked.token) this.set('Bearer ' + asked.token);
    else this.byPassport(passport);
    return null;
  },
  set(header) { sessionStorage.setItem(storage, header); },
  clear() { sessionStorage.removeItem(storage); },
  /** Ends it on the node, too. */
  end() {
    if (this.isProved) post('/api/login', { logout: true }).catch(() => {});
    this.clear();
  },
};

async function post(path, body, signal) {
  const headers = { 'Content-Type': 'application/json' };
  if (login.exists) headers.Authorization = login.header;
  let response, answer;
  try {
    response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body), signal, credentials: 'omit', cache: 'no-store' });
    answer = await response.json();
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new NodeError('the node cannot be reached', 0);
  }
  if (!response.ok) throw new NodeError(answer.error ?? `status ${response.status}`, response.status);
  return answer;
}

/** Runs commands in one request; an error stands in its place among the replies. */
export async function runAll(place, commands, signal) {
  let answer;
  try {
    answer = await post('/api/command', { ...place, commands }, signal);
  } catch (e) {
    if (e.status === 401) window.dispatchEvent(new CustomEvent('needs-login', { detail: e }));
    throw e;
  }
  return commands.map((_, i) => {
    const reply = answer.replies[i];
    return reply && reply.error ? new NodeError(reply.error) : reply === undefined ? new NodeError('the node ended the connection') : reply;
  });
}

/** Runs one command; an error is thrown. */
export async function run(place, command, signal) {
  const [reply] = await runAll(place, [command], signal);
  if (reply instanceof NodeError) throw reply;
  return reply;
}

/** A reply in place of which there may be an error, as another value then. */
export const or = (reply, otherwise) => reply instanceof NodeError || reply === null ? otherwise : reply;

/** Whether MIMEI MAY said that something is allowed; who may not ask is shown all, and told when it is refused. */
export const allowed = (reply) => reply !== 0;

/** Pairs as an object. */
export function record(pairs) {
  const made = {};
  for (let i = 0; i + 1 < pairs.length; i += 2) made[pairs[i]] = pairs[i + 1];
  return made;
}

/** INFO as an object. */
export function parseInfo(text) {
  const made = {};
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0 && line[0] !== '#') made[line.slice(0, colon)] = line.slice(colon + 1);
  }
  return made;
}

// Values are texts, numbers or, where they are no UTF-8, { base64 }.

export const isBinary = (value) => typeof value === 'object' && value !== null;

export const bytesOf = (value) => isBinary(value) ? Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)) : new TextEncoder().encode(String(value));

export const toBase64 = (bytes) => btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(''));

/** Characters that are not seen, or that change how others are: controls, and what turns the direction of writing. */
const unseen = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const written = (c) => ({ '\n': '\\n', '\r': '\\r', '\t': '\\t' })[c] ?? (c < '\u0080' ? '\\x' + c.charCodeAt(0).toString(16).padStart(2, '0') : '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));

/** Whether a text has controls beside ends of lines and tabs: it is shown as bytes, and no field of a form is to touch it. */
export const hasControls = (value) => /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(value);

/** A value for people, on one line: what is no text, or would not be seen, is written out. */
export function show(value) {
  if (value === null || value === undefined) return '—';
  if (!isBinary(value)) return String(value).replace(unseen, written);
  let text = '';
  for (const b of bytesOf(value)) text += b === 92 ? '\\\\' : b >= 32 && b < 127 ? String.fromCharCode(b) : '\\x' + b.toString(16).padStart(2, '0');
  return text;
}

/** As show, with the lines and tabs of a text as they are. */
export const showLines = (value) => isBinary(value) ? show(value) : String(value).replace(unseen, (c) => c === '\n' || c === '\t' ? c : written(c));

/** Whether two values are the same. */
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
