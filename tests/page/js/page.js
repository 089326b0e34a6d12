// Goes through the page as people do, in Debian's Chromium. One scenario a run:
//   node page.js http://127.0.0.1:PORT SCENARIO [FOLDER]     with a folder, each stop leaves a picture there
// Exit code 0: all went as it should, and the browser had nothing to complain about.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chromium } from 'playwright-core';

const [base, name, pictures] = process.argv.slice(2);
const markup = '<img src=x onerror="window.wasRun=1"><script>window.wasRun=1</script>';
const phone = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };

/** Asks the node beside the page. */
async function ask(...command) {
  const response = await fetch(`${base}/api/command`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ commands: [command] }) });
  return (await response.json()).replies[0];
}

/** The page shows what its address says. */
const settled = (page) => page.waitForFunction(() => document.querySelector('main')?.dataset.address === location.hash && !document.querySelector('.loading'));

const go = async (page, hash) => { await page.goto(`${base}/#/`); await page.getByRole('heading', { name: 'Overview', exact: true }).waitFor(); await page.goto(`${base}/${hash}`); };

const scenarios = {
  async overview(page) {
    await page.goto(base);
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    assert.match(await page.title(), /Overview · Leither/);
    await page.getByText('Healthy').waitFor();
    await page.getByText('Commands per second').waitFor();
    // The curve grows while one looks.
    await page.waitForFunction(() => document.querySelector('.spark polyline')?.points.length >= 3);
    await page.getByRole('link', { name: 'MiMei', exact: true }).first().click();
    await page.getByRole('link', { name: 'default' }).click();
    await page.getByRole('list', { name: 'Keys' }).waitFor();
  },

  async keys(page) {
    await go(page, '#/mimei/default/keys');
    const items = page.getByRole('list', { name: 'Keys' }).getByRole('listitem');
    await items.first().waitFor();
    while (await page.getByRole('button', { name: 'Show more' }).isVisible()) {
      const before = await items.count();
      await page.getByRole('button', { name: 'Show more' }).click();
      await page.waitForFunction((n) => document.querySelectorAll('.key-list li').length > n || !document.querySelector('.list-pane .actions button'), before);
    }
    assert.equal(await items.count(), await ask('DBSIZE'));
    const filter = page.getByRole('searchbox');
    await filter.fill('user:1');
    await filter.press('Enter');
    await page.waitForFunction(() => [...document.querySelectorAll('.key-list code')].every((c) => c.textContent.includes('user:1')));
    await page.getByRole('combobox', { name: 'Type' }).selectOption('stream');
    await page.getByText('No key matches').waitFor();
    for (const [key, ...shown] of [['greeting', 'hello 世界', 'never expires'], ['json', '"theme": "dark"'], ['blob', '00 01 ff fe'], ['user:1', 'mail', 'user1@example.com'], ['queue', 'd e'], ['tags', 'green'],
      ['board', '7.5', 'cid'], ['events', 'kind', 'click', 'readers'], ['session', 'left']]) {
      await page.goto(`${base}/#/mimei/default/keys?k=${encodeURIComponent(key)}`);
      const value = page.getByRole('region', { name: `Key ${key}` });
      for (const text of shown) await value.getByText(text).first().waitFor();
      await picture(page, `key-${key}`);
    }
    await page.goto(`${base}/#/mimei/default/keys?k=none`);
    await page.getByText('This key is not there').waitFor();
    await page.goto(`${base}/#/mimei/default/keys?k=long`);
    await page.getByRole('row').nth(100).waitFor();
    await page.getByRole('region', { name: 'Key long' }).getByRole('button', { name: 'Show more' }).click();
    await page.getByRole('cell', { name: 'item 150' }).waitFor();
  },

  /** What is rare is found, what is not seen is written out, and nothing that is cut is taken for the whole. */
  async odd(page) {
    await go(page, '#/mimei/default/keys?match=%E7%94%A8%E6%88%B7');
    await page.getByRole('list', { name: 'Keys' }).getByText('用户:张三').waitFor();
    assert.equal(await page.getByRole('list', { name: 'Keys' }).getByRole('listitem').count(), 1);
    const show = async (key, ...shown) => {
      await page.goto(`${base}/#/mimei/default/keys?k=${encodeURIComponent(key)}`);
      const value = page.locator('.value-pane section').filter({ has: page.locator('.key-name', { hasText: key.replace('\n', '\\n').replace('\t', '\\t') }) });
      for (const text of shown) await value.getByText(text).first().waitFor();
      await picture(page, `odd-${key.replace(/\W/g, '-')}`);
      return value;
    };
    await show('new\nline\tkey', 'new\\nline\\tkey');
    let value = await show('controls', '61 00 62');
    assert.equal(await value.getByRole('button', { name: 'Edit' }).count(), 0, 'a form would change what it cannot show');
    value = await show('mixed', 'one');
    assert.equal(await value.getByRole('button', { name: 'Edit' }).count(), 0, 'a form would make all ends of lines alike');
    value = await show('large:bytes', 'Only a part of it');
    assert.equal(await value.getByRole('button', { name: 'Show more' }).count(), 0);
    await show('reversed:h', '\\u202e');
    value = await show('fields', 'left', '1 entry');
    await value.getByRole('button', { name: 'Edit: f', exact: true }).click();
    await page.getByRole('dialog').getByRole('textbox').fill('after');
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    await value.getByRole('cell', { name: 'after' }).waitFor();
    assert.ok((await ask('HPTTL', 'fields', 'FIELDS', 1, 'f'))[0] > 0, 'a field that is edited expires as before');

    // A large hash is compared in the order of its fields, and that it is cut is said.
    await page.goto(`${base}/#/mimei/default/versions?a=2&b=cur`);
    await page.locator('summary', { hasText: 'large:hash' }).click();
    await page.getByText('Only the beginning is shown').waitFor();
    assert.equal(await page.locator('.line.plus').count(), 1);
    assert.equal(await page.locator('.line.minus').count(), 1);

    // Where something is wrong there is a way on.
    const mid = await ask('MIMEI', 'CREATE', 'DB', 'MARK', '{{auto}}');
    await page.goto(`${base}/#/mimei/${mid}/changes`);
    await page.getByText('There is nothing here').waitFor();
    await page.getByRole('link', { name: 'Keys' }).click();
    await page.getByText(`--user default@${mid} --pass '' SET greeting hello`).waitFor();
    await page.goto(`${base}/#/mimei/default/keys?v=99`);
    await page.getByText('there is no version 99').waitFor();
    await page.getByRole('link', { name: 'Versions' }).click();
    await page.getByRole('button', { name: 'Back up' }).waitFor();
    await page.goto(`${base}/#/mimei/nowhere/keys`);
    await page.getByText("no such MiMei 'nowhere'").waitFor();
    await page.locator('a.back').click();
    await page.getByRole('button', { name: 'New MiMei' }).waitFor();
  },

  async editing(page) {
    await go(page, '#/mimei/default/keys?k=edit%3As');
    const value = page.getByRole('region', { name: 'Key edit:s' });
    await value.getByRole('button', { name: 'Edit' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('textbox').fill('two\nlines 世界');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await value.getByText('lines 世界').waitFor();
    assert.equal(await ask('GET', 'edit:s'), 'two\nlines 世界');
    assert.ok(await ask('PTTL', 'edit:s') > 0, 'what is edited lives as long as before');
    await value.getByRole('button', { name: 'Delete' }).click();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    assert.equal(await ask('EXISTS', 'edit:s'), 1);
    await value.getByRole('button', { name: 'Delete' }).click();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    assert.equal(await ask('EXISTS', 'edit:s'), 1);
    await value.getByRole('button', { name: 'Delete' }).click();
    await picture(page, 'confirm');
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await value.waitFor({ state: 'detached' });
    assert.equal(await ask('EXISTS', 'edit:s'), 0);

    await page.goto(`${base}/#/mimei/default/keys?k=edit%3Ah`);
    await page.getByRole('button', { name: 'Edit: f', exact: true }).click();
    await dialog.getByRole('textbox').fill('changed');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('cell', { name: 'changed' }).waitFor();
    await page.getByRole('button', { name: 'Add field' }).click();
    await dialog.getByLabel('Field').fill('g');
    await dialog.getByLabel('Value').fill('new');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('cell', { name: 'new' }).waitFor();
    await page.getByRole('button', { name: 'Delete: f', exact: true }).click();
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('cell', { name: 'changed' }).waitFor({ state: 'detached' });
    assert.deepEqual(await ask('HGETALL', 'edit:h'), ['g', 'new']);

    await page.getByRole('button', { name: 'New key' }).click();
    await dialog.getByLabel('Key').fill('edit:new');
    await dialog.getByLabel('Value').fill('made here');
    await dialog.getByRole('button', { name: 'Add' }).click();
    await page.getByRole('region', { name: 'Key edit:new' }).getByText('made here').waitFor();
    assert.equal(await ask('DEL', 'edit:new'), 1);
  },

  /** What a MiMei of files holds is browsed, also as it was, and versions are compared file by file. */
  async files(page) {
    const list = await ask('MIMEI', 'LIST'), mid = list.map((m) => m[m.indexOf('mid') + 1]).find((_, i) => list[i][list[i].indexOf('name') + 1] === 'app');
    await go(page, '#/mimei/app/keys');
    await page.getByRole('link', { name: 'Files', exact: true }).last().waitFor();
    await page.getByText('second').first().waitFor();
    await page.getByText(`leither mimei get ${mid}`).waitFor();
    await picture(page, 'files');
    await page.goto(`${base}/#/mimei/app/keys?v=1`);
    await page.getByText('first').first().waitFor();
    await page.goto(`${base}/#/mimei/app/versions?a=1&b=2`);
    await page.locator('summary').click();
    await page.getByText('− first').waitFor();
    await page.getByText('+ second').waitFor();
    await picture(page, 'files-diff');
    await page.goto(`${base}/#/mimei/folder/keys`);
    await page.getByRole('link', { name: 'docs' }).click();
    await page.getByRole('link', { name: 'a b.txt' }).click();
    await page.getByText('in a folder').waitFor();
    await page.getByRole('navigation', { name: 'Path' }).getByRole('link', { name: 'docs' }).click();
    await page.getByRole('cell', { name: 'a b.txt' }).waitFor();
    await page.goto(`${base}/#/mimei/folder/keys`);
    await page.getByRole('link', { name: "it's.txt" }).click();
    await page.getByText(`'/it'\\''s.txt'`).waitFor();
    await page.goto(`${base}/#/mimei/folder/keys?p=none`);
    await page.getByRole('link', { name: 'Files', exact: true }).last().waitFor();
    await page.getByRole('button', { name: 'Try again' }).waitFor();
    await page.goto(`${base}/#/mimei/empty/keys`);
    await page.getByText('It holds no files yet').waitFor();
  },

  async versions(page) {
    await go(page, '#/mimei/default/versions');
    const dialog = page.getByRole('dialog');
    await page.getByRole('button', { name: 'Back up' }).click();
    await dialog.getByLabel('Memo').fill('before the change');
    await dialog.getByRole('button', { name: 'Back up' }).click();
    await page.getByText('before the change').waitFor();
    const version = (await ask('MIMEI', 'VERSIONS'))[0][1];
    const [mid] = await ask('MIMEI', 'ID'), sized = Object.fromEntries((await ask('MIMEI', 'VERSIONS', mid, 'SIZES'))[0].map((v, i, all) => [v, all[i + 1]]));
    await page.getByRole('listitem').filter({ hasText: `v${version}` }).getByText(`${sized.keys} keys · `).waitFor();
    await page.getByRole('listitem').filter({ hasText: 'v1' }).last().getByText(/141 keys · .* new/).waitFor();
    await ask('HSET', 'vers:h', 'city', 'Oslo', 'name', 'Ann');
    await ask('DEL', 'vers:gone');
    await ask('SET', 'vers:new', 'here');
    await page.getByRole('checkbox', { name: `Compare: v${version}` }).check();
    await page.getByRole('checkbox', { name: 'Compare: now' }).check();
    await picture(page, 'versions');
    await page.getByRole('button', { name: 'Compare', exact: true }).click();
    for (const [what, key] of [['changed', 'vers:h'], ['removed', 'vers:gone'], ['added', 'vers:new']]) await page.locator('summary', { hasText: key }).getByLabel(what).waitFor();
    await page.getByText('vers:h').click();
    await page.locator('.line.minus', { hasText: 'name: Bob' }).waitFor();
    await page.locator('.line.plus', { hasText: 'name: Ann' }).waitFor();
    await page.locator('.line.plus', { hasText: 'city: Oslo' }).waitFor();
    await picture(page, 'diff');
    await page.goto(`${base}/#/mimei/default/keys?v=${version}&k=vers%3Agone`);
    await page.getByText('It never changes').waitFor();
    await page.getByRole('region', { name: 'Key vers:gone' }).getByText('still here').waitFor();
    assert.equal(await page.getByRole('button', { name: /^(Edit|Delete|New key)$/ }).count(), 0, 'a version is not to be changed');
    await page.goto(`${base}/#/mimei/default/versions`);
    await page.getByRole('listitem').filter({ hasText: `v${version}` }).getByRole('button', { name: 'Restore' }).click();
    await dialog.getByRole('button', { name: 'Restore' }).click();
    await page.getByText(`Version ${version} is back`).waitFor();
    assert.equal(await ask('GET', 'vers:gone'), 'still here');
    assert.equal(await ask('EXISTS', 'vers:new'), 0);
  },

  /** Names, values, memos: whatever is data is shown as it is. */
  async markup(page) {
    await ask('SET', markup, markup);
    await ask('HSET', 'markup:h', markup, markup);
    await ask('MIMEI', 'BACKUP', 'MEMO', markup);
    await ask('SET', markup, `${markup} more`);
    const last = (await ask('MIMEI', 'VERSIONS'))[0][1];
    for (const hash of [`#/mimei/default/keys?k=${encodeURIComponent(markup)}`, '#/mimei/default/keys?k=markup%3Ah', `#/mimei/default/keys?match=${encodeURIComponent(markup)}`, '#/mimei/default/versions',
      `#/mimei/default/versions?a=${last}&b=cur`, '#/mimei/default/changes']) {
      await go(page, hash);
      await page.getByText('<img src=x').first().waitFor();
      for (const summary of await page.locator('summary').all()) await summary.click();
      assert.equal(await page.locator('main img, main script').count(), 0);
    }
    await page.goto(`${base}/#/files/ipfs/${encodeURIComponent(markup)}`);
    await page.getByRole('alert').waitFor();
    await page.goto(`${base}/#/mimei/${encodeURIComponent(markup)}/keys`);
    await page.getByRole('alert').waitFor();
    assert.equal(await page.evaluate(() => window.wasRun), undefined);
  },

  async login(page) {
    await page.goto(base);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await picture(page, 'login');
    await page.getByLabel('Password').fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').waitFor();
    await page.getByLabel('Password').fill('right secret');
    await page.getByLabel('Password').press('Enter');
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    assert.ok(!decodeURIComponent(page.url()).includes('secret'));
    assert.deepEqual(await page.evaluate(() => [localStorage.length, document.cookie, Object.keys(sessionStorage)]), [0, '', ['leither.login']]);
    await page.reload();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);

    // Who may only read sees what there is, and nothing that he would be refused.
    await page.getByLabel('User').fill('reader');
    await page.getByLabel('Password').fill('r');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    await page.getByRole('link', { name: 'MiMei', exact: true }).click();
    await page.getByRole('link', { name: 'default' }).waitFor();
    assert.equal(await page.getByRole('button', { name: 'New MiMei' }).count(), 0);
    await page.getByRole('link', { name: 'default' }).click();
    await page.getByRole('list', { name: 'Keys' }).getByText('greeting').click();
    await page.getByText('hello 世界').waitFor();
    const changes = /^(New key|Delete.*|Edit.*|Time to live|Add field|Back up|Restore|Release)$/;
    assert.deepEqual(await page.getByRole('button', { name: changes }).allTextContents(), []);
    await page.goto(`${base}/#/mimei/default/keys?k=user%3A1`);
    await page.getByRole('cell', { name: 'user1@example.com' }).waitFor();
    assert.deepEqual(await page.getByRole('button', { name: changes }).allTextContents(), []);

    // Who may change some keys is offered that of these, and of no others.
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.getByLabel('User').fill('some');
    await page.getByLabel('Password').fill('s');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    await page.goto(`${base}/#/mimei/default/keys?k=user%3A1`);
    await page.getByRole('button', { name: 'Add field' }).waitFor();
    await page.getByRole('button', { name: 'Delete', exact: true }).waitFor();
    await page.goto(`${base}/#/mimei/default/keys?k=greeting`);
    await page.getByText('hello 世界').waitFor();
    await page.getByRole('button', { name: 'New key' }).waitFor();
    assert.deepEqual(await page.getByRole('region', { name: 'Key greeting' }).getByRole('button', { name: changes }).allTextContents(), []);
    // A name that he may not use is refused, and told.
    await page.getByRole('button', { name: 'New key' }).click();
    await page.getByRole('dialog').getByLabel('Key').fill('other');
    await page.getByRole('dialog').getByLabel('Value').fill('x');
    await page.getByRole('dialog').getByRole('button', { name: 'Add' }).click();
    await page.getByText('You have no right to that').waitFor();
  },

  async passport(page) {
    await page.goto(base);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.getByText('Passport').first().click();
    await page.getByRole('textbox', { name: 'Passport' }).fill(process.env.PASSPORT);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    await page.getByRole('link', { name: 'MiMei', exact: true }).click();
    await page.getByRole('list', { name: 'Keys' }).getByText('greeting').click();
    await page.getByText('hello 世界').waitFor();
  },

  async proof(page) {
    await page.goto(base);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.getByText('Passport').first().click();
    await page.getByRole('textbox', { name: 'Passport' }).fill(process.env.PASSPORT);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Prove that it is yours' }).waitFor();
    await picture(page, 'proof');
    const [,, , , , challenge, node] = (await page.locator('.command').textContent()).split(' ');
    await page.getByRole('textbox', { name: 'What it printed' }).fill('ppt1.wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('that is no passport').waitFor();
    const proved = execFileSync(process.env.LEITHER, ['lpki', 'prove', process.env.KEY, process.env.PASSPORT_FILE, challenge, node], { encoding: 'utf8' });
    await page.getByRole('textbox', { name: 'What it printed' }).fill(proved);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    // Nothing gives him a right to the node's own MiMei; his is listed, and opened by its name as well.
    await page.getByRole('link', { name: 'diary' }).waitFor();
    assert.equal(await page.getByRole('link', { name: 'default' }).count(), 0);
    await page.getByRole('textbox', { name: 'Another MiMei' }).fill('diary');
    await page.getByRole('button', { name: 'Open' }).click();
    await page.getByRole('list', { name: 'Keys' }).getByText('secret').click();
    await page.getByText('between us').waitFor();
    await page.reload();
    await page.getByText('between us').waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  },

  async phone(page) {
    await ask('MIMEI', 'BACKUP', 'MEMO', 'x'.repeat(200));
    for (const hash of views) {
      await go(page, hash);
      await settled(page);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${hash} is wider than the screen`);
      await picture(page, `phone-${views.indexOf(hash)}`);
    }
    await go(page, '#/mimei/default/keys');
    await page.getByRole('list', { name: 'Keys' }).getByRole('link').first().tap();
    await page.getByRole('link', { name: '‹ Keys' }).tap();
    await page.getByRole('list', { name: 'Keys' }).waitFor();
    const nav = await page.getByRole('navigation', { name: 'Leither' }).boundingBox();
    assert.ok(nav.y > 600, 'the ways stand where thumbs are');
  },

  /** Everything can be reached without a mouse and has a name. */
  async access(page) {
    for (const hash of views) {
      await go(page, hash);
      await settled(page);
      const nameless = await page.evaluate(() => [...document.querySelectorAll('button, a[href], input, select, textarea, [role=img]')]
        .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML));
      assert.deepEqual(nameless, [], hash);
      assert.equal(await page.locator('h1').count(), 1, hash);
    }
    await page.goto(`${base}/#/mimei`);
    await page.getByRole('button', { name: 'New MiMei' }).waitFor();
    await page.reload();
    await page.getByRole('button', { name: 'New MiMei' }).waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'New MiMei');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.name), 'name');
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  },

  async chinese(page) {
    await page.goto(base);
    await page.getByRole('heading', { name: '概览' }).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), 'zh-CN');
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).colorScheme), 'light dark');
    assert.match(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), /rgb\((\d|1\d|2\d), /, 'dark where it is wished');
    for (const hash of views) {
      await page.goto(`${base}/${hash}`);
      await settled(page);
      await picture(page, `chinese-${views.indexOf(hash)}`);
    }
  },
};

const views = ['#/', '#/mimei', '#/mimei/default/keys', '#/mimei/default/keys?k=user%3A1', '#/mimei/default/versions', '#/mimei/default/versions?a=1&b=cur', '#/mimei/default/changes', '#/mimei/default/sharing',
  '#/mimei/default/about', '#/files', '#/network'];
const settings = { phone: { ...phone, locale: 'en-US' }, chinese: { locale: 'zh-CN', colorScheme: 'dark' } };

async function picture(page, title) {
  if (!pictures) return;
  await page.waitForTimeout(400);
  await page.screenshot({ path: `${pictures}/${name}-${title}.png` });
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const complaints = [];
let page;
try {
  const context = await browser.newContext({ locale: 'en-US', viewport: { width: 1280, height: 860 }, ...settings[name] });
  page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on('pageerror', (e) => complaints.push(e.message));
  // That the node refuses something is its answer, and told on the page.
  page.on('console', (m) => { if (m.type() === 'error' && !/status of (4\d\d)/.test(m.text())) complaints.push(m.text()); });
  page.on('request', (r) => { if (!r.url().startsWith(base)) complaints.push(`asked ${r.url()}`); });
  await scenarios[name](page);
  assert.deepEqual(complaints, []);
  console.log('done');
} catch (e) {
  console.log(`${e.stack}\n${complaints.join('\n')}\n${await page?.evaluate(() => `${location}\n${document.body.innerText}`).catch(() => '')}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
