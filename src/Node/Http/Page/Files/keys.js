// The keys of a database, page by page (SCAN), and beside them the one that is looked at.

import { h, fill, badge, button, doing, nothing, number, ask, field, tell, loading, problem, ago } from './ui.js';
import { t } from './text.js';
import { runAll, run, or, login, show as text, parseInfo, isBinary, NodeError } from './api.js';
import { addressOf } from './mimei.js';
import { keyView } from './values.js';

const types = ['string', 'hash', 'list', 'set', 'zset', 'stream'];

/** Keys that a page has at least, if there are so many; and how often SCAN is asked for them before the reader is. */
const page = 60, rounds = 20, step = 200, searchStep = 5000;

/** The list as it was last drawn: choosing a key in it draws it not again. */
let drawn = null;

/** A key in an address. */
const keyQuery = (key) => isBinary(key) ? { kb: key.base64 } : { k: key };
const keyOf = (query) => query.has('kb') ? { base64: query.get('kb') } : query.get('k');

/** What was typed, as a pattern: a plain word is looked for anywhere in the name. */
const patternOf = (typed) => typed === '' ? '*' : /[*?[\]\\]/.test(typed) ? typed : `*${typed}*`;

export async function keysTab({ id, mid, name, place, query, signal, show, isReadOnly, isNewRefused }) {
  const match = query.get('match') ?? '', type = query.get('type') ?? '', database = place.database, version = query.get('v');
  const key = keyOf(query);
  const link = (more) => addressOf(id, 'keys', { v: version, db: database, match, type, ...more });
  const signature = JSON.stringify([id, place, match, type, login.header]);
  if (drawn?.signature !== signature || key === null) drawn = { signature, pane: await listPane({ id, mid, name, place, match, type, link, signal, show, isReadOnly: isReadOnly || isNewRefused }) };
  for (const item of drawn.pane.querySelectorAll('li a')) {
    if (key !== null && item.dataset.key === JSON.stringify(key)) item.setAttribute('aria-current', 'true');
    else item.removeAttribute('aria-current');
  }
  const value = h('div.value-pane', null, key === null ? null : loading());
  if (key !== null) {
    const changed = (isGone) => { drawn = null; if (isGone) location.hash = link({}); else show(); };
    keyView({ place, key, isReadOnly, back: link({}), changed, signal }).then((made) => fill(value, made), (e) => signal.aborted || fill(value, problem(e)));
  }
  return h(`div.keys${key === null ? '' : '.has-key'}`, null, drawn.pane, value);
}

async function listPane({ id, mid, name, place, match, type, link, signal, show, isReadOnly }) {
  const [info, size] = await runAll(place, [['INFO', 'keyspace'], ['DBSIZE']], signal);
  const database = place.database, sizes = parseInfo(or(info, ''));
  const databases = Array.from({ length: 16 }, (_, i) => [i, Number(/keys=(\d+)/.exec(sizes[`db${i}`] ?? '')?.[1] ?? 0)]);
  const form = h('form.filter', {
    role: 'search', onsubmit: (e) => {
      e.preventDefault();
      const given = Object.fromEntries(new FormData(form));
      location.hash = link({ match: given.match, type: given.type, db: Number(given.db) });
    },
  },
  h('input.grow', { name: 'match', type: 'search', 'aria-label': t('filter'), placeholder: t('filterHint'), value: match, autocapitalize: 'none', spellcheck: 'false' }),
  h('select', { name: 'type', 'aria-label': t('type'), onchange: () => form.requestSubmit() }, h('option', { value: '' }, t('allTypes')), types.map((one) => h('option', { value: one, selected: one === type }, one))),
  h('select', { name: 'db', 'aria-label': t('database'), onchange: () => form.requestSubmit() }, databases.map(([i, n]) => h('option', { value: i, selected: i === place.database }, n ? `db${i} · ${number(n)}` : `db${i}`))));
  const list = h('ul.key-list', { 'aria-label': t('keys') }), more = h('div.actions');
  // What is looked for may be rare.
  const isSearch = Boolean(match || type);
  let cursor = '0', count = 0;
  const load = async () => {
    const found = [];
    for (let i = 0; i < rounds && found.length < page; i++) {
      const [next, names] = await run(place, ['SCAN', cursor, 'MATCH', patternOf(match), 'COUNT', isSearch ? searchStep : step, ...(type ? ['TYPE', type] : [])], signal);
      found.push(...names);
      cursor = next;
      if (cursor === '0') break;
    }
    const kinds = [];
    for (let i = 0; i < found.length; i += 250) kinds.push(...await runAll(place, found.slice(i, i + 250).flatMap((k) => [['TYPE', k], ['PTTL', k]]), signal));
    found.forEach((name, i) => list.append(item(name, or(kinds[2 * i], '?'), or(kinds[2 * i + 1], -1))));
    count += found.length;
    fill(none, count ? null : cursor !== '0' ? nothing(t('noKeysYetFound')) : or(size, 0) > 0 || isSearch ? nothing(t('noKeys')) : isReadOnly ? nothing(t('noKeysAtAll')) : nothing(t('noKeysYet'), h('pre', null, hint)));
    fill(more, cursor !== '0' && button(t(count ? 'more' : 'searchOn'), doing(load)));
  };
  const item = (name, kind, ttl) => h('li', null, h('a', { href: link(keyQuery(name)), 'data-key': JSON.stringify(name) },
    badge(kind, kind), h('code', null, text(name) || '""'), ttl > 0 && h('small', { title: t('ttl') }, ago(Date.now() + ttl))));
  const none = h('div');
  const hint = `redis-cli -p ${location.port || '4800'}${name === 'default' ? '' : ` --user default@${name || mid} --pass ''`}${database ? ` -n ${database}` : ''} SET greeting hello`;
  await load();
  return h('section.list-pane', { 'aria-label': t('keys') }, form,
    h('div.row', null, h('span.grow.quiet', null, `${t('keys')}: ${number(or(size, 0))}`), !isReadOnly && button(t('newKey'), doing(() => newKey(place, link)), { symbol: 'plus' })),
    none, list, more);
}

async function newKey(place, link) {
  const given = await ask(t('newKey'), [
    field(t('key'), h('input', { name: 'key', required: true, autocapitalize: 'none', spellcheck: 'false' })),
    field(t('type'), h('select', { name: 'type' }, ['string', 'hash', 'list', 'set', 'zset'].map((one) => h('option', { value: one }, one)))),
    field(`${t('field')} / ${t('score')}`, h('input', { name: 'field', autocapitalize: 'none', spellcheck: 'false' }), 'hash, zset'),
    field(t('value'), h('textarea', { name: 'value', rows: 4, spellcheck: 'false' }))], t('add'));
  if (!given) return;
  const { key, type, field: inner, value } = given;
  const made = await run(place, {
    string: ['SET', key, value, 'NX'], hash: ['HSETNX', key, inner, value], list: ['RPUSH', key, value], set: ['SADD', key, value], zset: ['ZADD', key, 'NX', inner || '0', value],
  }[type]);
  if (made === null || made === 0) throw new NodeError('the key is there already');
  drawn = null;
  tell(t('saved'));
  location.hash = link(keyQuery(key));
}
