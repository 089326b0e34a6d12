// What the views are made of. Whatever comes from data becomes a text node, never markup.

import { t, language } from './text.js';
import { NodeError } from './api.js';

/** Makes an element: properties, on… listeners, attributes; then children, of which null and false are left out. */
export function h(tag, attributes, ...children) {
  const [name, ...classes] = tag.split('.');
  const element = document.createElement(name || 'div');
  if (classes.length) element.className = classes.join(' ');
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (key === 'value' || key === 'checked' || key === 'disabled') element[key] = value;
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...flat(children));
  return element;
}

const flat = (children) => children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false);

/** Puts new children into an element. */
export const fill = (element, ...children) => { element.replaceChildren(...flat(children)); return element; };

/** A drawing, from names and attributes alone. */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const icons = {
  home: 'M3 11 12 4l9 7v9h-6v-6H9v6H3z',
  data: 'M4 6c0-4 16-4 16 0v12c0 4-16 4-16 0zM4 6c0 4 16 4 16 0M4 12c0 4 16 4 16 0',
  files: 'M3 6h6l2 2h10v11H3z',
  network: 'M12 5v6M12 11 5 18M12 11l7 7M12 3a2 2 0 1 0 .01 0M5 17a2 2 0 1 0 .01 0M19 17a2 2 0 1 0 .01 0',
  forward: 'M9 5l7 7-7 7', copy: 'M9 9h11v11H9zM5 15H4V4h11v1', edit: 'M4 20l1-5L16 4l4 4L9 19z', trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  plus: 'M12 5v14M5 12h14', open: 'M14 4h6v6M20 4l-9 9M10 5H4v15h15v-6', refresh: 'M20 11a8 8 0 1 0-1 5M20 5v6h-6', out: 'M14 4h6v16h-6M10 8l-4 4 4 4M6 12h9',
};

export const icon = (name) => svg('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' }, svg('path', { d: icons[name] }));

export const button = (label, onclick, { kind = '', symbol = null, ...rest } = {}) =>
  h(`button.${kind || 'plain'}`, { type: 'button', onclick, ...rest }, symbol && icon(symbol), h('span', null, label));

/** A button that shows a symbol alone; its label is for who cannot see it. */
export const iconButton = (label, symbol, onclick, rest = {}) => h('button.icon-button', { type: 'button', 'aria-label': label, title: label, onclick, ...rest }, icon(symbol));

/** Does something, during which its button waits; what goes wrong is told. */
export const doing = (work) => async (event) => {
  const control = event?.currentTarget;
  if (control?.setAttribute) { control.disabled = true; control.setAttribute('aria-busy', 'true'); }
  try {
    await work(event);
  } catch (e) {
    tell(e, true);
  } finally {
    if (control?.setAttribute) { control.disabled = false; control.removeAttribute('aria-busy'); }
  }
};

let told = null;
/** Tells something in passing. */
export function tell(what, isProblem = false) {
  if (what?.name === 'AbortError') return;
  if (what instanceof Error && !(what instanceof NodeError)) console.error(what);
  const text = what instanceof NodeError ? reason(what) : what instanceof Error ? what.message : what;
  told ??= document.body.appendChild(h('div.toasts', { role: 'status', 'aria-live': 'polite' }));
  const toast = h(`div.toast${isProblem ? '.problem' : ''}`, null, text);
  told.append(toast);
  setTimeout(() => toast.remove(), isProblem ? 8000 : 3000);
}

/** Why the node refused, for people. */
export const reason = (error) => error.status === 0 ? t('unreachable') : error.code === 'NOPERM' ? t('noRight') : error.message;

/** A problem where the thing itself would be. */
export const problem = (error) => h('p.notice.problem', { role: 'alert' }, error instanceof NodeError ? reason(error) : String(error.message ?? error));

export const nothing = (text, ...more) => h('div.empty', null, h('p', null, text), more);

export const loading = () => h('p.loading', { role: 'status' }, t('loading'));

/** Asks before something that cannot be taken back. */
export function confirm(title, text, action) {
  return ask(title, [h('p', null, text)], action, 'danger');
}

/** A window with fields; resolves to its form's values, or null. The browser keeps the keyboard in it and closes it on Escape. */
export function ask(title, content, action, kind = 'primary') {
  return new Promise((resolve) => {
    const form = h('form', { method: 'dialog', onsubmit: (e) => { e.preventDefault(); done(Object.fromEntries(new FormData(form))); } },
      h('h2', null, title), content,
      h('div.actions', null, button(t('cancel'), () => done(null)), h(`button.${kind}`, { type: 'submit' }, action)));
    const dialog = h('dialog', { 'aria-label': title, oncancel: () => done(null) }, form);
    const done = (value) => { if (dialog.isConnected) { dialog.close(); dialog.remove(); resolve(value); } };
    document.body.append(dialog);
    dialog.showModal();
    (form.querySelector('input,textarea,select') ?? form.querySelector('button')).focus();
  });
}

export const field = (label, control, hint) => h('label.field', null, h('span', null, label), control, hint && h('small', null, hint));

export const copy = (text) => iconButton(t('copy'), 'copy', () => navigator.clipboard.writeText(text).then(() => tell(t('copied')), () => tell(t('notCopied'), true)));

/** An id or CID: its ends, with the whole to be copied. */
export const short = (id, ends = 6) => id ? h('span.id', null, h('code', { title: id }, id.length > 2 * ends + 3 ? `${id.slice(0, ends)}…${id.slice(-ends)}` : id), copy(id)) : h('span', null, '—');

export const badge = (text, kind = '') => h(`span.badge${kind ? '.' + kind : ''}`, null, text);

/** A table that on a narrow screen becomes a list of cards; each cell carries its column's name there. */
export function table(label, columns, rows) {
  return h('div.table', null, h('table', { 'aria-label': label },
    h('thead', null, h('tr', null, columns.map((c) => h('th', { scope: 'col' }, c)))),
    h('tbody', null, rows.map((cells) => h('tr', null, cells.map((cell, i) => h('td', { 'data-label': columns[i] }, cell)))))));
}

/** A list of facts: names and values. */
export const facts = (pairs) => h('dl.facts', null, pairs.filter(Boolean).map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value === '' ? '—' : value))));

// ------------------------------------------------------------------ figures and times

export const number = (value) => Number(value).toLocaleString(language);

export const entriesOf = (count) => Number(count) === 1 ? t('entry') : t('entries', number(count));

export function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let n = Number(value), unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit++; }
  return `${n.toLocaleString(language, { maximumFractionDigits: unit === 0 || n >= 100 ? 0 : 1 })} ${units[unit]}`;
}

export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds)), parts = [[86400, 'day'], [3600, 'hour'], [60, 'minute'], [1, 'second']];
  const at = Math.max(0, parts.findIndex(([length]) => s >= length));
  const first = s < 1 ? 3 : at;
  const said = [];
  let rest = s;
  for (const [length, unit] of parts.slice(first, first + 2)) {
    const n = Math.floor(rest / length);
    rest -= n * length;
    if (n > 0 || said.length === 0) said.push(n.toLocaleString(language, { style: 'unit', unit, unitDisplay: 'short' }));
  }
  return said.join(' ');
}

export function ago(ms) {
  const seconds = (ms - Date.now()) / 1000, size = Math.abs(seconds);
  const [length, unit] = size < 60 ? [1, 'second'] : size < 3600 ? [60, 'minute'] : size < 86400 ? [3600, 'hour'] : size < 2592000 ? [86400, 'day'] : size < 31536000 ? [2592000, 'month'] : [31536000, 'year'];
  return size < 5 ? t('justNow') : new Intl.RelativeTimeFormat(language, { numeric: 'auto' }).format(Math.round(seconds / length), unit);
}

export const time = (ms) => h('time', { datetime: new Date(ms).toISOString(), title: new Date(ms).toLocaleString(language) }, ago(ms));

/** A small curve of what was lately. */
export function sparkline(values, label) {
  const width = 240, height = 44, most = Math.max(1, ...values);
  const step = width / 59, start = values.length === 1 ? 0 : width - (values.length - 1) * step;
  const points = (values.length === 1 ? [values[0], values[0]] : values).map((v, i) => `${(values.length === 1 ? i * width : start + i * step).toFixed(1)},${(height - 3 - (v / most) * (height - 8)).toFixed(1)}`);
  const curve = svg('svg', { viewBox: `0 0 ${width} ${height}`, class: 'spark', preserveAspectRatio: 'none', role: 'img', 'aria-label': label });
  if (points.length > 1) {
    curve.append(
      svg('polygon', { points: `${start.toFixed(1)},${height} ${points.join(' ')} ${width},${height}` }),
      svg('polyline', { points: points.join(' ') }));
  }
  return curve;
}
