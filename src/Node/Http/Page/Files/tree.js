// What a MiMei of files holds: its folders, and of a file what is text in it.

import { h, bytes, badge, short, nothing } from './ui.js';
import { t } from './text.js';
import { run, record, NodeError } from './api.js';
import { addressOf } from './mimei.js';
import { crumbs, entries } from './files.js';
import { linesOfBytes } from './values.js';

/** So many bytes of a file are shown. */
const firstBytes = 1 << 16;

/** Types that are of files, and of no key. */
export const isFileType = (type) => type === 'file' || type === 'directory' || type === 'symlink';

/** A file's beginning as lines, as linesOf has those of a key. */
export async function linesOfFile(place, path, signal) {
  const { type, size } = record(await run(place, ['MIMEI', 'STAT', path], signal));
  return type === 'file' ? linesOfBytes(await run(place, ['MIMEI', 'GET', path, 'COUNT', firstBytes], signal), size > firstBytes) : { lines: [], isCut: false };
}

export async function filesTab({ id, mid, place, query, signal }) {
  const path = query.get('p') ?? '', v = query.get('v'), steps = path.split('/').filter(Boolean);
  const at = (names) => addressOf(id, 'keys', { p: names.join('/'), v });
  let stat;
  try {
    stat = record(await run(place, ['MIMEI', 'STAT', path], signal));
  } catch (e) {
    if (!(e instanceof NodeError) || !e.message.startsWith('the MiMei holds no files yet')) throw e;
    return nothing(t('noFilesYet'), h('pre', null, `leither mimei add ${mid} FOLDER`));
  }
  const head = [crumbs([['/', at([])], ...steps.map((step, i) => [step, at(steps.slice(0, i + 1))])]), h('p', null, badge(stat.type), ' ', badge(bytes(stat.type === 'directory' ? stat.total : stat.size)), ' ', short(stat.cid))];
  if (stat.type === 'directory') {
    const list = await run(place, ['MIMEI', 'LS', path], signal);
    return h('section.card', { 'aria-label': t('files') }, head, list.length === 0 ? nothing(t('empty')) : entries(list, (name) => at([...steps, name])));
  }
  const { lines, isCut, note } = await linesOfFile(place, path, signal);
  return h('section.card', { 'aria-label': steps.at(-1) ?? t('files') }, head, note && h('p.quiet', null, note), isCut && h('p.quiet', null, t('onlyFirst')),
    h('pre', { tabindex: 0 }, lines.join('\n')), h('pre.quiet', null, `leither mimei get ${mid}${path ? ` '/${path.replaceAll("'", "'\\''")}'` : ''}${v ? ` --version ${v}` : ''}`));
}
