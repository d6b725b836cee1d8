// Everything without a mouse: from the first page to an acknowledged incident and a decided proposal.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { faultIncident, launch, openPage, faultProposal, PATIENCE_MS, query, seen, startDemo, stateOf, until } from '../halo.mjs';

describe('keyboard', () => {
  let halo, browser, page;
  before(async () => {
    halo = await startDemo();
    browser = await launch();
    page = await openPage(browser);
    await page.goto(halo.origin);
    await seen(page, 'headline').waitFor();
  });
  after(async () => {
    await browser?.close();
    await halo?.stop();
  });

  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const focused = (selector) => page.evaluate((s) => document.activeElement?.closest(s) !== null, selector);

  it('skips to the content with the first Tab', async () => {
    await press('Tab');
    assert.match(await page.evaluate(() => document.activeElement?.textContent ?? ''), /skip/i);
  });

  it('opens the help and closes it', async () => {
    await press('?');
    await seen(page, 'help').waitFor();
    await press('Escape');
    await seen(page, 'help').waitFor({ state: 'detached' });
  });

  it('goes to a page by the palette', async () => {
    await press('Control+k');
    await seen(page, 'palette-input').waitFor();
    await page.keyboard.type('topol');
    await press('Enter');
    await page.waitForURL(`${halo.origin}/topology`);
  });

  it('opens, reads and acknowledges an incident', async () => {
    await faultIncident(halo.origin);
    await press('g', 'i');
    await page.waitForURL(`${halo.origin}/incidents`);
    await seen(page, 'incident-row').first().waitFor({ timeout: PATIENCE_MS });
    await press('j');
    assert.ok(await focused('[data-testid="incident-row"]'), 'j puts the focus on a row');
    await press('Enter');
    await seen(page, 'incident-title').waitFor();
    const id = await seen(page, 'incident').getAttribute('data-id');
    await press('a');
    await until('the engine says acknowledged', 15_000, async () => {
      const { incidents } = await query(halo.origin, { query: 'snapshot' });
      return incidents.find((each) => each.id === id)?.state !== 'open';
    });
    await press('Escape');
    await page.waitForURL(`${halo.origin}/incidents`);
  });

  it('approves a proposal in two presses, never in one', async () => {
    const proposal = await faultProposal(halo.origin);
    const state = async () => {
      const { proposals } = await query(halo.origin, { query: 'snapshot' });
      return stateOf(proposals.find((each) => each.id === proposal.id));
    };
    await press('g', 'a');
    await page.waitForURL(/\/approvals/);
    await page.locator('[data-testid="proposal-row"]').first().waitFor();
    // The row of that proposal may not be the first.
    const row = `[data-testid="proposal-row"][data-id="${proposal.id}"]`;
    await press('k');
    await until('the row has the focus', 15_000, async () => {
      if (await focused(row)) return true;
      await press('j');
      return focused(row);
    });
    await press('Enter');
    await page.locator(`[data-testid="proposal"][data-id="${proposal.id}"]`).waitFor();
    await press('y');
    assert.ok(await focused('[data-testid="approve"]'), 'y only brings the button under the finger');
    assert.equal(await state(), 'pending', 'y alone runs nothing');
    await press('Enter');
    await until('it is approved', 60_000, async () => (await state()) !== 'pending');
  });

  it('always shows where the focus is', async () => {
    await press('g', 'n');
    await seen(page, 'headline').waitFor();
    for (let index = 0; index < 12; index += 1) {
      await press('Tab');
      const visible = await page.evaluate(() => {
        const element = document.activeElement;
        if (!element || element === document.body) return true;
        const style = getComputedStyle(element);
        return (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none';
      });
      const name = await page.evaluate(() => document.activeElement?.outerHTML.slice(0, 120));
      assert.ok(visible, `no focus ring on ${name}`);
    }
  });

  it('complains about nothing', () => assert.deepEqual(page.complaints, []));
});
