// The versions of a MiMei on a line of time; two of them compared, key by key and then line by line.

import { h, fill, bytes, number, badge, short, time, button, doing, ask, confirm, field, tell, nothing, loading, problem } from './ui.js';
import { t } from './text.js';
import { run, runAll, or, record, show as text, isBinary } from './api.js';
import { addressOf } from './mimei.js';
import { linesOf } from './values.js';
import { isFileType, linesOfFile } from './tree.js';

export async function versionsTab(context) {
  const { query } = context;
  return query.get('a') && query.get('b') ? await diffView(context) : await timeline(context);
}

const nameOf = (version) => version === 'cur' ? t('now') : `v${version}`;

async function timeline({ id, mid, place, signal, show, can }) {
  const list = (await run(place, ['MIMEI', 'VERSIONS'], signal)).map(record);
  const chosen = [];
  const compare = h('button.primary', { type: 'button', disabled: true, onclick: () => {
    const [a, b] = [...chosen].sort((x, y) => (x === 'cur' ? Infinity : x) - (y === 'cur' ? Infinity : y));
    location.hash = addressOf(id, 'versions', { a, b });
  } }, t('compare'));
  const hint = h('span.quiet.grow', { role: 'status' }, t('compareHint'));
  const choice = (version) => {
    const box = h('input', { type: 'checkbox', 'aria-label': `${t('compare')}: ${nameOf(version)}`, onchange: () => {
      if (box.checked) chosen.push(version);
      else chosen.splice(chosen.indexOf(version), 1);
      if (chosen.length > 2) {
        const old = chosen.shift();
        root.querySelector(`input[data-version="${old}"]`).checked = false;
      }
      compare.disabled = chosen.length !== 2;
      fill(hint, chosen.length ? chosen.map(nameOf).join(' · ') : t('compareHint'));
    }, 'data-version': version });
    return box;
  };
  const backup = doing(async () => {
    const given = await ask(t('backupTitle'), [h('p', null, t('backupText')), field(t('memo'), h('input', { name: 'memo', maxlength: 200 }))], t('backup'));
    if (!given) return;
    const made = await run(place, given.memo ? ['MIMEI', 'BACKUP', 'MEMO', given.memo] : ['MIMEI', 'BACKUP']);
    tell(t('backupDone', made));
    show();
  });
  const restore = (version) => doing(async () => {
    if (!await confirm(t('restoreTitle', version), t('restoreText'), t('restore'))) return;
    await run(place, ['MIMEI', 'RESTORE', version]);
    tell(t('restoreDone', version));
    show();
  });
  const release = (version) => doing(async () => { await run(place, ['MIMEI', 'RELEASE', version]); show(); });
  const sizes = list.map(() => h('span.sizes', { title: t('versionSizeHint') }));
  const root = h('section.card', { 'aria-label': t('versions') },
    h('div.row.wrap.bar', null, list.length > 0 ? hint : h('span.grow'), list.length > 0 && compare, can.backup && button(t('backup'), backup, { symbol: 'plus' })),
    h('ol.timeline', null,
      h('li.now', null, h('div.what', null, h('div.row', null, list.length > 0 && choice('cur'), h('strong', null, t('current')), h('span.quiet', null, 'cur'))), h('div.row.wrap', null, h('a.button', { href: addressOf(id, 'keys') }, t('browse')))),
      list.map((v, i) => h('li', null,
        h('div.what', null,
          h('div.row.wrap', null, choice(v.version), h('strong', null, `v${v.version}`), v.released === 'yes' && badge(t('released'), 'good'), i === 0 && badge('last'), h('span.quiet', null, time(v.created))),
          v.memo && h('p.memo', null, v.memo), h('p.row.wrap.quiet', null, short(v.cid, 10), sizes[i])),
        h('div.row.wrap', null,
          h('a.button', { href: addressOf(id, 'keys', { v: v.version }) }, t('browse')),
          list[i + 1] && h('a.button', { href: addressOf(id, 'versions', { a: list[i + 1].version, b: v.version }) }, t('whatChanged')),
          can.release && v.released !== 'yes' && button(t('release'), release(v.version)),
          can.restore && button(t('restore'), restore(v.version)))))),
    list.length === 0 && nothing(t('noVersions')));
  if (list.length) showSizes(list, sizes, mid, place, signal);
  return root;
}

/** How large they are takes the node a moment longer to find out; nobody waits for it. */
async function showSizes(list, sizes, mid, place, signal) {
  const [told] = await runAll(place, [['MIMEI', 'VERSIONS', mid, 'SIZES']], signal).catch(() => [null]);
  const known = new Map(or(told, []).map(record).map((v) => [v.version, v]));
  list.forEach((v, i) => {
    const { keys, size, added } = known.get(v.version) ?? {};
    if (keys !== undefined) fill(sizes[i], [keys === 1 ? t('versionKey') : t('versionKeys', number(keys)), ...size === null ? [] : [bytes(size), t('versionAdded', bytes(added))]].join(' · '));
  });
}

// ------------------------------------------------------------------ comparing

const none = { lines: [], isCut: false };

const signs = { added: '+', removed: '−', changed: '~' };

async function diffView({ id, place, query, signal }) {
  const a = query.get('a'), b = query.get('b'), rows = h('ul.diff'), more = h('div.actions');
  let count = 0;
  const load = async (cursor) => {
    const [next, keys] = await run(place, ['MIMEI', 'DIFF', a, b, 'COUNT', 100, ...(cursor ? ['CURSOR', cursor] : [])], signal);
    rows.append(...keys.map(row));
    count += keys.length;
    fill(more, next !== '0' && button(t('more'), doing(() => load(next))));
  };
  const at = (version, database) => ({ ...place, database, version: version === 'cur' ? undefined : version });
  const row = ([database, key, what, type]) => {
    const isFile = isFileType(type), lines = isFile ? linesOfFile : linesOf;
    const body = h('div.lines');
    const details = h('details', { ontoggle: async () => {
      if (!details.open || body.childElementCount) return;
      fill(body, loading());
      try {
        const [before, after] = await Promise.all([what === 'added' ? none : lines(at(a, database), key, signal), what === 'removed' ? none : lines(at(b, database), key, signal)]);
        const side = what === 'removed' ? a : b;
        const compared = compareLines(before.lines, after.lines), note = before.note ?? after.note ?? (before.isCut || after.isCut ? t('onlyFirst') : null);
        fill(body, note && h('p.quiet', null, note), compared.length > 0 && h('pre', { tabindex: 0 }, compared.map(([sign, line]) => h(`span.line${sign === '+' ? '.plus' : sign === '−' ? '.minus' : ''}`, null, `${sign} ${line}\n`))),
          h('a', { href: addressOf(id, 'keys', { v: side === 'cur' ? null : side, db: database, ...(isFile ? { p: key } : isBinary(key) ? { kb: key.base64 } : { k: key }) }) }, `${t('browse')}: ${nameOf(side)}`));
      } catch (e) {
        if (!signal.aborted) fill(body, problem(e));
      }
    } }, h('summary', null, h(`span.sign.${what}`, { 'aria-label': t(what), title: t(what) }, signs[what]), h('code', null, text(key)), badge(type, type), database > 0 && badge(`db${database}`)), body);
    return h('li', null, details);
  };
  await load(null);
  return h('section.card', { 'aria-label': t('compare') },
    h('div.row.wrap.bar', null, h('a.back', { href: addressOf(id, 'versions') }, '‹ ', t('versions')), h('h2.grow', null, t('comparing', nameOf(a), nameOf(b)))),
    count ? [rows, more] : nothing(t('noChanges')));
}

/** Two lists of lines as one: what is in both, what is gone, what came. The longest common part is kept, as diff does. */
export function compareLines(before, after) {
  const n = before.length, m = after.length, width = m + 1, common = new Uint16Array((n + 1) * width);
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      common[i * width + j] = before[i] === after[j] ? common[(i + 1) * width + j + 1] + 1 : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  const made = [];
  let i = 0, j = 0;
  while (i < n || j < m) {
    if (i < n && j < m && before[i] === after[j]) { made.push([' ', before[i]]); i++; j++; }
    else if (i < n && (j === m || common[(i + 1) * width + j] >= common[i * width + j + 1])) made.push(['−', before[i++]]);
    else made.push(['+', after[j++]]);
  }
  return made;
}
