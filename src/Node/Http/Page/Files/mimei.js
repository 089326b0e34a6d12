// The MiMei of the node, and one of them in its tabs.

import { h, fill, entriesOf, table, short, badge, bytes, number, button, doing, ask, field, facts, nothing, problem, time } from './ui.js';
import { t } from './text.js';
import { runAll, run, or, record, allowed, login, show as text, NodeError } from './api.js';
import { keysTab } from './keys.js';
import { versionsTab } from './versions.js';
import { filesTab } from './tree.js';

/** Stands for the MiMei that a login is bound to, where no other may be opened. */
const bound = '-';

/** So many of them are asked for their versions and followers. */
const asked = 100;

export const placeOf = (id, query) => ({ ...(id === bound ? {} : { mimei: id }), ...(query.get('v') ? { version: query.get('v') } : {}), database: Number(query.get('db') ?? 0) });

export const addressOf = (id, tab, query = {}) => {
  const kept = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== null && v !== undefined && v !== '' && v !== 0));
  return `#/mimei/${encodeURIComponent(id)}/${tab}${kept.size ? '?' + kept : ''}`;
};

export async function mimeiList({ signal, show }) {
  const [list, opens, makes] = await runAll({}, [['MIMEI', 'LIST'], ['MIMEI', 'MAY', 'MIMEI', 'OPEN'], ['MIMEI', 'MAY', 'MIMEI', 'CREATE']], signal);
  if (list instanceof NodeError && list.code !== 'NOPERM') throw list;
  // Who may be bound to no other has but the one.
  if (list instanceof NodeError || !allowed(opens)) {
    location.replace(addressOf(bound, 'keys'));
    return nothing('');
  }
  const all = list.map(record), open = all.filter((m) => m.open === 1).slice(0, asked);
  const more = open.length ? await runAll({}, open.flatMap((m) => [['MIMEI', 'VERSIONS', m.mid], ['MIMEI', 'FOLLOWERS', m.mid]]), signal) : [];
  open.forEach((m, i) => { m.versions = or(more[2 * i], null); m.followers = or(more[2 * i + 1], null); });
  const create = doing(async () => {
    const given = await ask(t('newMimei'), [field(t('name'), h('input', { name: 'name', maxlength: 64, pattern: '[A-Za-z0-9][A-Za-z0-9._\\-]*', autocapitalize: 'none', spellcheck: 'false', required: true }))], t('add'));
    if (!given) return;
    const mid = await run({}, ['MIMEI', 'CREATE', 'DB', 'MARK', '{{auto}}']);
    await run({}, ['MIMEI', 'NAME', given.name, mid]);
    location.hash = addressOf(mid, 'keys');
  });
  return h('div', null,
    h('div.title', null, h('h1', null, t('mimei')), badge(number(all.length)), h('span.grow'), allowed(makes) && button(t('newMimei'), create, { symbol: 'plus' })),
    login.isProved && openOther(),
    h('section.card', { 'aria-label': t('mimei') }, table(t('mimei'), [t('name'), t('id'), t('keys'), t('versions'), t('followers'), t('disk'), t('state')],
      all.map((m) => [h('a.strong', { href: addressOf(m.mid, 'keys') }, m.name || m.mid.slice(0, 8) + '…'), short(m.mid), m.open ? number(m.keys) : '—', m.versions ? number(m.versions.length) : '—',
        m.followers ? number(m.followers.length) : '—', bytes(m.disk), m.open ? badge(t('opened'), 'good') : badge(t('rested'))]))));
}

const tabs = [['keys', keysTab], ['versions', versionsTab], ['changes', changesTab], ['sharing', sharingTab], ['about', aboutTab]];

export async function mimeiView({ parts, query, signal, show }) {
  const id = parts[1], tab = parts[2] ?? 'keys', version = query.get('v');
  const [who, work] = tabs.find(([name]) => name === tab) ?? tabs[0];
  const place = placeOf(id, query);
  // A version is opened by the name of its MiMei, which a login that is bound to one is told by the node.
  if (version && id === bound) [place.mimei] = await run({}, ['MIMEI', 'ID']);
  let identity, role, stat, may;
  try {
    [identity, role, stat, ...may] = await runAll(place, [['MIMEI', 'ID'], ['ROLE'], ['MIMEI', 'STAT'], ['MIMEI', 'MAY', 'SET'], ['MIMEI', 'MAY', 'MIMEI', 'BACKUP'], ['MIMEI', 'MAY', 'MIMEI', 'RESTORE', '1'], ['MIMEI', 'MAY', 'MIMEI', 'RELEASE', '1']], signal);
    if (identity instanceof NodeError && identity.code !== 'NOPERM') throw identity;
  } catch (e) {
    // It is not here, or not for who asks, or has no such version.
    if (signal.aborted || e.status === 401 || e.status === 0) throw e;
    return h('div', null, h('div.title', null, h('a.back', { href: version ? addressOf(id, 'versions') : '#/mimei', 'aria-label': t(version ? 'versions' : 'mimei') }, '‹'), h('h1', null, version ? `${id} · v${version}` : id)), problem(e), button(t('again'), show, { symbol: 'refresh' }));
  }
  const [mid, name] = or(identity, [id, t('mimei')]);
  // Of a database WRONGTYPE says so; what else is wrong with files the tab says.
  const holdsFiles = !(stat instanceof NodeError) || !['WRONGTYPE', 'NOPERM'].includes(stat.code);
  const isCopy = or(role, [])[0] === 'slave', [write, backup, restore, release] = may.map((reply) => !isCopy && allowed(reply));
  const head = h('div', null,
    h('div.title', null, id !== bound && h('a.back', { href: '#/mimei', 'aria-label': t('mimei') }, '‹'), h('h1', null, name || mid.slice(0, 8) + '…'), short(mid)),
    h('nav.tabs', { 'aria-label': name || mid }, tabs.map(([one]) => h('a', { href: addressOf(id, one, { v: one === 'keys' ? version : null }), 'aria-current': one === who ? 'page' : null }, t(one === 'keys' && holdsFiles ? 'files' : one)))),
    isCopy && h('p.notice', { role: 'status' }, t('isCopy')),
    id === bound && login.isProved && openOther(),
    version && h('p.notice', { role: 'status' }, t('viewing', version), ' ', h('a', { href: addressOf(id, 'keys') }, t('current'))));
  // What goes wrong in one tab leaves the way to the others.
  const body = await (work === keysTab && holdsFiles ? filesTab : work)({ id, mid, name: or(identity, ['', ''])[1], place, query, signal, show, can: { backup, restore, release }, isReadOnly: isCopy || Boolean(version), isNewRefused: !write }).catch((e) => {
    if (signal.aborted || !(e instanceof NodeError) || e.status === 401 || e.status === 0) throw e;
    return h('div', null, problem(e), button(t('again'), show, { symbol: 'refresh' }));
  });
  return h('div', null, head, body);
}

/** What is not listed, since it may not be read or lies on other nodes, is opened by what it is called. */
function openOther() {
  const form = h('form.row.bar', { onsubmit: (e) => { e.preventDefault(); location.hash = addressOf(new FormData(form).get('mimei').trim(), 'keys'); } },
    h('input.grow', { name: 'mimei', required: true, 'aria-label': t('openOther'), placeholder: t('openOther'), autocapitalize: 'none', spellcheck: 'false' }), h('button', { type: 'submit' }, t('openGateway')));
  return form;
}

// ------------------------------------------------------------------ what was changed

async function changesTab({ place, signal }) {
  const rows = h('ol.log'), more = h('div.actions'), size = 50;
  const load = async (command, before) => {
    const list = await run(place, ['MIMEI', 'LOG', ...command], signal);
    const first = list[0]?.[0] ?? before;
    rows.append(...list.reverse().map(logEntry));
    const from = Math.max(1, first - size);
    fill(more, first > 1 && list.length > 0 && button(t('older'), doing(() => load(['FROM', from, 'COUNT', first - from], from))));
  };
  await load(['COUNT', size], 1);
  return h('section.card', { 'aria-label': t('changes') }, rows.children.length ? [rows, more] : nothing(t('empty')));
}

const shownEffects = 20;

const logEntry = ([sequence, ms, length, effects]) => h('li', null,
  h('span.meta', null, h('code', null, `#${sequence}`), time(ms), h('span', null, bytes(length))),
  h('span.effects', null,
    effects.slice(0, shownEffects).map(([what, database, key]) => h('span.effect', null, badge(what), key !== '' && h('code', null, text(key)), database > 0 && ` db${database}`)),
    effects.length > shownEffects && entriesOf(effects.length)));

// ------------------------------------------------------------------ who has it

async function sharingTab({ mid, name, place, signal }) {
  const [followers, named, right] = await runAll(place, [['MIMEI', 'FOLLOWERS'], ['MIMEI', 'PROVIDERS'], ['MIMEI', 'RIGHT', 'GET', mid]], signal);
  const isPublic = right instanceof NodeError || !record(right).everyone || record(right).everyone.includes('read');
  const list = or(followers, []).map(record);
  return h('div', null,
    h('section.card', { 'aria-label': t('followers') }, h('h2', null, t('followers'), ' ', badge(number(list.length))),
      followers instanceof NodeError ? problem(followers)
        : list.length === 0 ? nothing(t('noFollowers'), h('p', null, t('followHow')), h('pre', null, `${isPublic ? '' : `leither mimei publish ${name || mid}\n`}leither mimei provide ${mid}`))
          : table(t('followers'), [t('peer'), t('address'), t('state'), t('sequence'), t('lag')], list.map((f) => [
            short(f.peer), h('code', null, f.address), [badge(f.state, f.lag === 0 ? 'good' : ''), f.named ? badge(t('named')) : null], number(f.written), number(f.lag)]))),
    or(named, []).length > 0 && h('section.card', { 'aria-label': t('named') }, h('h2', null, t('named')),
      table(t('named'), [t('peer'), t('state'), t('lag')], named.map(record).map((p) => [short(p.provider), badge(p.state), p.lag < 0 ? '—' : number(p.lag)]))));
}

// ------------------------------------------------------------------ what it is

async function aboutTab({ mid, place, signal }) {
  const [info, right] = await runAll(place, [['MIMEI', 'INFO', mid], ['MIMEI', 'RIGHT', 'GET', mid]], signal);
  if (info instanceof NodeError) throw info;
  const m = record(info);
  return h('div', null,
    h('section.card', { 'aria-label': t('about') }, facts([
      [t('id'), short(m.mid, 14)], [t('name'), m.name], [t('type'), m.type], [t('author'), short(m.author, 14)], [t('app'), m.app], [t('ext'), m.ext], [t('mark'), m.mark],
      [t('created'), time(Date.parse(m.created))], [t('keys'), number(m.keys)], [t('memory'), bytes(m.memory)], [t('disk'), bytes(m.disk)], [t('clients'), number(m.clients)],
      [t('writable'), m.writable ? t('yes') : t('no')],
      m.references?.length > 0 && [t('references'), m.references.map((r) => h('div', null, h('code', null, r)))]])),
    !(right instanceof NodeError) && rightsCard(record(right)));
}

/** Who may do what with it; the owner may do everything. */
const rightsCard = (r) => h('section.card', { 'aria-label': t('right') }, h('h2', null, t('right')), facts([
  [t('owner'), short(r.owner, 14)], [t('everyone'), words(r.everyone)], [t('members'), words(r['member-default'])], [t('memberGroups'), words(r['group-default'])],
  ...r.members.map(record).map((one) => [short(one.user), words(one.rights)]),
  ...r.groups.map(record).map((one) => [`${one.group} · ${number(one.users.length)}`, words(one.rights)])]));

const words = (list) => list.length ? list.map((word) => [badge(word), ' ']) : '—';
