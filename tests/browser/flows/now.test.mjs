// The first page: it opens, it is alive, and nothing it does leaves this machine.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launch, openPage, PATIENCE_MS, seen, startDemo } from '../halo.mjs';

describe('now', () => {
  let halo, browser, page;
  before(async () => {
    halo = await startDemo();
    browser = await launch();
    page = await openPage(browser);
    await page.goto(halo.origin);
  });
  after(async () => {
    await browser?.close();
    await halo?.stop();
  });

  it('shows a headline and the figures of the loop', async () => {
    await seen(page, 'headline').waitFor();
    for (const figure of ['stat-open', 'stat-pending', 'stat-rate', 'stat-learnt']) {
      assert.match(await seen(page, figure).innerText(), /\d|–/, figure);
    }
  });

  it('shows this host and the replayed application, alive', async () => {
    await seen(page, 'host-vitals').waitFor();
    await seen(page, 'replay-clock').waitFor();
    await seen(page, 'entity-tile').first().waitFor({ timeout: PATIENCE_MS });
    const clock = seen(page, 'replay-clock');
    const before = await clock.innerText();
    await page.waitForFunction(
      ([selector, text]) => document.querySelector(selector)?.innerText !== text,
      ['[data-testid="replay-clock"]', before],
      { timeout: PATIENCE_MS },
    );
  });

  it('counts samples upwards without a reload', async () => {
    const rate = () => seen(page, 'stat-rate').innerText();
    const before = await rate();
    await page.waitForFunction(
      ([selector, text]) => document.querySelector(selector)?.innerText !== text,
      ['[data-testid="stat-rate"]', before],
      { timeout: PATIENCE_MS },
    );
  });

  it('reaches every page by the navigation', async () => {
    for (const name of ['incidents', 'topology', 'series', 'approvals', 'sources', 'now']) {
      await seen(page, `nav-${name}`).click();
      await page.waitForURL(`${halo.origin}/${name === 'now' ? '' : name}`);
      await page.locator('main h1').first().waitFor();
    }
  });

  it('names its sources and its three models', async () => {
    await page.goto(`${halo.origin}/sources`);
    await seen(page, 'source').first().waitFor();
    assert.ok((await seen(page, 'source').count()) >= 2, 'the replay and this host');
    assert.ok((await seen(page, 'model').count()) >= 3, 'three models vote');
    assert.match(await seen(page, 'connect').innerText(), /remote_write/);
  });

  it('says what verdicts are for while there are none', async () => {
    await page.goto(`${halo.origin}/sources`);
    await seen(page, 'verdicts').getByText('No verdicts yet').waitFor();
    assert.equal(await seen(page, 'verdicts-total').count(), 0, 'no figures out of nothing');
  });

  it('complains about nothing', () => assert.deepEqual(page.complaints, []));
});
