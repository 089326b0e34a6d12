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
  get exists() { return this.header !== null; },
  byPassword(user, password) { this.set('Basic ' + toBase64(new TextEncoder().encode(`${user}:${password}`))); },
  byPassport(passport) { this.set('Passport ' + passport.trim()); },
  set(header) { sessionStorage.setItem(storage, header); },
  clear() { sessionStorage.removeItem(storage); },
};

/** Runs commands in one request; an error stands in its place among the replies. */
export async function runAll(place, commands, signal) {
  const headers = { 'Content-Type': 'application/json' };
  if (login.exists) headers.Authorization = login.header;
  let response, answer;
  try {
    response = await fetch('/api/command', { method: 'POST', headers, body: JSON.stringify({ ...place, commands }), signal, credentials: 'omit', cache: 'no-store' });
    answer = await response.json();
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new NodeError('the node cannot be reached', 0);
  }
  if (!response.ok) {
    const error = new NodeError(answer.error ?? `status ${response.status}`, response.status);
    if (response.status === 401) window.dispatchEvent(new CustomEvent('needs-login', { detail: error }));
    throw error;
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

/** A value for people: what is no text has its bytes written out. */
export function show(value) {
  if (value === null || value === undefined) return '—';
  if (!isBinary(value)) return String(value);
  let text = '';
  for (const b of bytesOf(value)) text += b === 92 ? '\\\\' : b >= 32 && b < 127 ? String.fromCharCode(b) : '\\x' + b.toString(16).padStart(2, '0');
  return text;
}

/** Whether two values are the same. */
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
