// One key: what it holds, by its type and page by page; its time to live; changing it.

import { h, fill, entriesOf, badge, button, iconButton, doing, ask, confirm, field, tell, facts, bytes, number, duration, nothing, copy } from './ui.js';
import { t } from './text.js';
import { runAll, run, or, record, allowed, show as text, showLines, hasControls, bytesOf, isBinary } from './api.js';

/** Of a string so much is fetched at first, and at most; of a cell so much is shown. */
const firstBytes = 64 << 10, mostBytes = 1 << 20, cellLength = 300, pageSize = 100;

export async function keyView({ place, key, isReadOnly, back, changed, signal }) {
  const asked = [['DEL', key], ['EXPIRE', key, 1], ['SET', key, ''], ['HSET', key, '', '']].map((command) => ['MIMEI', 'MAY', ...command]);
  const [type, ttl, encoding, memory, ...may] = await runAll(place, [['TYPE', key], ['PTTL', key], ['OBJECT', 'ENCODING', key], ['MEMORY', 'USAGE', key], ...asked], signal);
  const [removes, limits, sets, fills] = may.map((reply) => !isReadOnly && allowed(reply));
  if (type instanceof Error) throw type;
  const head = [h('a.back.narrow', { href: back }, '‹ ', t('keys')), h('div.title', null, h('h2.key-name', null, h('code', null, text(key) || '""')), copy(isBinary(key) ? text(key) : key))];
  if (type === 'none') return h('section.card', { 'aria-label': t('key') }, head, nothing(t('noSuchKey')));
  const remove = doing(async () => {
    if (!await confirm(t('deleteKey', text(key)), t('deleteText'), t('delete'))) return;
    await run(place, ['DEL', key]);
    tell(t('deleted'));
    changed(true);
  });
  const limit = doing(async () => {
    const given = await ask(t('ttl'), [field(t('setTtl'), h('input', { name: 'seconds', type: 'number', min: 1, inputmode: 'numeric', value: ttl > 0 ? Math.ceil(ttl / 1000) : '' }))], t('save'));
    if (!given) return;
    await run(place, given.seconds ? ['EXPIRE', key, given.seconds] : ['PERSIST', key]);
    changed(false);
  });
  const viewer = viewers[type] ?? (async () => nothing(type));
  const context = { place, key, isReadOnly: !(type === 'hash' ? fills : sets), changed, signal };
  return h('section.card', { 'aria-label': `${t('key')} ${text(key)}` }, head,
    h('div.row.wrap', null, badge(type, type), badge(or(encoding, '?')), or(memory, null) !== null && badge(bytes(memory)), badge(ttl > 0 ? t('left', duration(ttl / 1000)) : t('neverExpires')),
      (limits || removes) && h('div.row.ways', null, limits && button(t('ttl'), limit), removes && button(t('delete'), remove, { kind: 'danger-plain', symbol: 'trash' }))),
    await viewer(context));
}

const viewers = { string: stringView, hash: hashView, list: listView, set: setView, zset: sortedView, stream: streamView };

// ------------------------------------------------------------------ strings

/** What a form gives back of a text is the same text: its ends of lines are of one kind. */
const isEditable = (value) => !isBinary(value) && !hasControls(value) && !/\r(?!\n)/.test(value) && !(value.includes('\r\n') && /(^|[^\r])\n/.test(value));

/** A form has its own ends of lines. */
const fromForm = (given, before) => before.includes('\r\n') ? given : given.replace(/\r\n/g, '\n');

/** Bytes as text, where a piece of text may have been cut within its last character; null: they are no text. */
function decode(value) {
  if (!isBinary(value)) return hasControls(value) ? null : value;
  const all = bytesOf(value);
  for (let cut = 0; cut < 4; cut++) {
    try {
      const made = new TextDecoder('utf-8', { fatal: true }).decode(all.subarray(0, all.length - cut));
      return made && !hasControls(made) ? made : null;
    } catch { /* one byte less */ }
  }
  return null;
}

/** Bytes, so many on a line. */
function hexDump(all, width = 16) {
  const lines = [];
  for (let at = 0; at < all.length; at += width) {
    const row = all.subarray(at, at + width), hex = Array.from(row, (b) => b.toString(16).padStart(2, '0')).join(' ');
    lines.push(`${at.toString(16).padStart(6, '0')}  ${hex.padEnd(3 * width)} ${Array.from(row, (b) => b >= 32 && b < 127 ? String.fromCharCode(b) : '·').join('')}`);
  }
  return lines.join('\n');
}

async function stringView({ place, key, isReadOnly, changed, signal }) {
  const length = await run(place, ['STRLEN', key], signal), body = h('div');
  const load = async (most) => {
    const value = await run(place, ['GETRANGE', key, 0, most - 1], signal), content = length > most ? decode(value) : isBinary(value) || hasControls(value) ? null : value;
    const isWhole = length <= most;
    let formatted = null;
    if (content !== null && isWhole && /^\s*[[{]/.test(content)) {
      try { formatted = JSON.stringify(JSON.parse(content), null, 2); } catch { /* no JSON */ }
    }
    const shown = h(`pre.content${content === null ? '.hex' : ''}`, { tabindex: 0 }, formatted ?? content ?? hexDump(bytesOf(value), matchMedia('(max-width: 40rem)').matches ? 8 : 16));
    const edit = doing(async () => {
      const given = await ask(text(key), [field(t('value'), h('textarea.tall', { name: 'value', rows: 12, spellcheck: 'false', value: content }))], t('save'));
      if (!given) return;
      // A form has its own ends of lines.
      await run(place, ['SET', key, fromForm(given.value, content), 'XX', 'KEEPTTL']);
      tell(t('saved'));
      changed(false);
    });
    fill(body, h('div.row.wrap', null, h('span.quiet.grow', null, bytes(length)),
      formatted !== null && button(t('raw'), (e) => { const isRaw = shown.textContent === content; fill(shown, isRaw ? formatted : content); e.currentTarget.lastChild.textContent = isRaw ? t('raw') : t('formatted'); }),
      content !== null && copy(content), !isReadOnly && content !== null && isWhole && isEditable(content) && button(t('edit'), edit, { symbol: 'edit' })),
    shown,
    !isWhole && h('p.quiet', null, t('tooLarge')), !isWhole && content !== null && most < mostBytes && button(t('more'), doing(() => load(mostBytes))));
  };
  await load(firstBytes);
  return body;
}

// ------------------------------------------------------------------ collections

/** A cell of data; a long one is cut until it is asked for. */
function cell(value) {
  const whole = showLines(value);
  const made = h('code.cell', null, whole.length > cellLength ? whole.slice(0, cellLength) + '…' : whole === '' ? '""' : whole);
  return whole.length <= cellLength ? made : h('div', null, made, button(t('showAll'), (e) => { made.textContent = whole; e.currentTarget.remove(); }));
}

/** A table that grows: load is given the place to go on from and returns rows and the next place, or null. */
async function growing(label, columns, load) {
  const body = h('tbody'), more = h('div.actions');
  const next = async (from) => {
    const { rows, then } = await load(from);
    body.append(...rows.map((cells) => h('tr', null, cells.map((c, i) => h('td', { 'data-label': columns[i] }, c)))));
    fill(more, then !== null && button(t('more'), doing(() => next(then))));
  };
  await next(null);
  return h('div', null, h('div.table', null, h('table', { 'aria-label': label }, h('thead', null, h('tr', null, columns.map((c) => h('th', { scope: 'col' }, c)))), body)), more);
}

const pairs = (flat) => Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);

const wait = (cursor) => cursor === '0' ? null : cursor;

async function hashView({ place, key, isReadOnly, changed, signal }) {
  const length = await run(place, ['HLEN', key], signal);
  const edit = (name, value) => doing(async () => {
    const given = await ask(name === null ? t('addField') : text(name), [
      name === null && field(t('field'), h('input', { name: 'field', required: true, autocapitalize: 'none', spellcheck: 'false' })),
      field(t('value'), h('textarea', { name: 'value', rows: 6, spellcheck: 'false', value: value ?? '' }))], t('save'));
    if (!given) return;
    // A field that expires does so as before.
    await run(place, name === null ? ['HSET', key, given.field, fromForm(given.value, '')] : ['HSETEX', key, 'KEEPTTL', 'FIELDS', 1, name, fromForm(given.value, value)]);
    tell(t('saved'));
    changed(false);
  });
  const remove = (name) => doing(async () => {
    if (!await confirm(t('deleteField', text(name)), t('deleteText'), t('delete'))) return;
    await run(place, ['HDEL', key, name]);
    changed(length === 1);
  });
  return h('div', null, h('div.row', null, h('span.quiet.grow', null, entriesOf(length)), !isReadOnly && button(t('addField'), edit(null, null), { symbol: 'plus' })),
    await growing(t('value'), isReadOnly ? [t('field'), t('value')] : [t('field'), t('value'), ''], async (from) => {
      const [next, flat] = await run(place, ['HSCAN', key, from ?? '0', 'COUNT', pageSize], signal);
      const fields = pairs(flat), [ttls] = fields.length ? await runAll(place, [['HPTTL', key, 'FIELDS', fields.length, ...fields.map(([name]) => name)]], signal) : [[]];
      return { then: wait(next), rows: fields.map(([name, value], i) => [h('div', null, cell(name), or(ttls, [])[i] > 0 && h('small.ttl', { title: t('ttl') }, t('left', duration(ttls[i] / 1000)))), cell(value),
        ...isReadOnly ? [] : [h('span.row.ways', null, isEditable(value) && iconButton(`${t('edit')}: ${text(name)}`, 'edit', edit(name, value)), iconButton(`${t('delete')}: ${text(name)}`, 'trash', remove(name)))]]) };
    }));
}

const counted = async (context, command, table) => h('div', null, h('p.quiet', null, entriesOf(await run(context.place, [command, context.key], context.signal))), await table);

function listView(context) {
  return counted(context, 'LLEN', growing(t('value'), [t('index'), t('value')], async (from) => {
    const start = from ?? 0, list = await run(context.place, ['LRANGE', context.key, start, start + pageSize - 1], context.signal);
    return { then: list.length === pageSize ? start + pageSize : null, rows: list.map((v, i) => [number(start + i), cell(v)]) };
  }));
}

function setView(context) {
  return counted(context, 'SCARD', growing(t('value'), [t('member')], async (from) => {
    const [next, list] = await run(context.place, ['SSCAN', context.key, from ?? '0', 'COUNT', pageSize], context.signal);
    return { then: wait(next), rows: list.map((v) => [cell(v)]) };
  }));
}

function sortedView(context) {
  return counted(context, 'ZCARD', growing(t('value'), [t('score'), t('member')], async (from) => {
    const start = from ?? 0, list = pairs(await run(context.place, ['ZRANGE', context.key, start, start + pageSize - 1, 'WITHSCORES'], context.signal));
    return { then: list.length === pageSize ? start + pageSize : null, rows: list.map(([member, score]) => [h('code', null, score), cell(member)]) };
  }));
}

async function streamView(context) {
  const { place, key, signal } = context;
  const [groups] = await runAll(place, [['XINFO', 'GROUPS', key]], signal);
  const list = or(groups, []).map(record);
  return h('div', null,
    list.length > 0 && h('div', null, h('h3', null, t('groups')), facts(list.map((g) => [text(g.name), `${g.consumers} · ${g.pending} pending · ${g['last-delivered-id']}`]))),
    await counted(context, 'XLEN', growing(t('value'), [t('id'), t('field'), t('value')], async (from) => {
      const entries = await run(place, ['XRANGE', key, from ?? '-', '+', 'COUNT', pageSize], signal);
      return {
        then: entries.length === pageSize ? `(${entries.at(-1)[0]}` : null,
        rows: entries.map(([id, flat]) => [h('code', null, id), h('div', null, pairs(flat).map(([f]) => h('div', null, cell(f)))), h('div', null, pairs(flat).map(([, v]) => h('div', null, cell(v))))]),
      };
    })));
}

// ------------------------------------------------------------------ as lines, to be compared

/** The most lines of a value that are compared, and the most members of a set that are put in order for it. */
const mostLines = 400, mostMembers = 5000;

const limited = (lines, isCut = false) => ({ lines: lines.slice(0, mostLines), isCut: isCut || lines.length > mostLines });

/** Bytes as lines: text or, where they are none, how they begin, written out. */
export const linesOfBytes = (value, isCut) => limited((decode(value) ?? hexDump(bytesOf(value).subarray(0, 16 * mostLines + 1))).split('\n'), isCut);

/** A value as lines, whether there are more, and what is to be said in their place; unordered ones are sorted. */
export async function linesOf(place, key, signal) {
  const type = await run(place, ['TYPE', key], signal);
  const ask = (...command) => run(place, command, signal);
  switch (type) {
    case 'string': return linesOfBytes(await ask('GETRANGE', key, 0, firstBytes - 1), await ask('STRLEN', key) > firstBytes);
    // Of a large one the same part on both sides: the first fields in their order.
    case 'hash': return limited(pairs(await ask('HRANGESCAN', key, '', 'COUNT', mostLines + 1)).map(([f, v]) => `${text(f)}: ${text(v)}`));
    case 'list': return limited((await ask('LRANGE', key, 0, mostLines)).map(text));
    case 'set': return await ask('SCARD', key) > mostMembers ? { lines: [], isCut: false, note: t('tooManyMembers') } : limited((await ask('SMEMBERS', key)).map(text).sort());
    case 'zset': return limited(pairs(await ask('ZRANGE', key, 0, mostLines, 'WITHSCORES')).map(([m, s]) => `${s}  ${text(m)}`));
    case 'stream': return limited((await ask('XREVRANGE', key, '+', '-', 'COUNT', mostLines + 1)).map(([id, flat]) => `${id}  ${pairs(flat).map(([f, v]) => `${text(f)}=${text(v)}`).join(' ')}`));
    default: return limited([]);
  }
}
