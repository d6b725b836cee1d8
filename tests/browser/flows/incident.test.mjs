// From the list to the explanation and back, by links that can be sent to somebody else.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { faultIncident, launch, openPage, PATIENCE_MS, query, seen, startDemo, until } from '../halo.mjs';

describe('incident', () => {
  let halo, browser, page, incident;
  before(async () => {
    halo = await startDemo();
    browser = await launch();
    page = await openPage(browser);
    await page.goto(`${halo.origin}/incidents`);
    incident = await faultIncident(halo.origin);
  });
  after(async () => {
    await browser?.close();
    await halo?.stop();
  });

  it('appears in the list by itself', async () => {
    const row = page.locator(`[data-testid="incident-row"][data-id="${incident.id}"]`);
    await row.waitFor({ timeout: PATIENCE_MS });
    await row.locator('a').first().click();
    await page.waitForURL(`${halo.origin}/incidents/${incident.id}`);
  });

  // Before anything else: the recorded fault is over within the minute.
  it('can be acknowledged', async () => {
    await seen(page, 'acknowledge').first().click();
    await until('the engine says acknowledged', 10_000, async () => {
      const { incidents } = await query(halo.origin, { query: 'snapshot' });
      return incidents.find((each) => each.id === incident.id)?.state === 'acknowledged';
    });
  });

  it('explains itself: cause, critical failure, impact, members, timeline', async () => {
    await seen(page, 'incident-title').waitFor();
    for (const part of ['story', 'causes', 'members', 'timeline']) await seen(page, part).waitFor();
    assert.ok((await seen(page, 'cause').count()) >= 1, 'at least one ranked cause');
    assert.ok((await seen(page, 'member').count()) >= 1, 'at least one member');
    assert.ok((await seen(page, 'timeline-entry').count()) >= 1, 'at least one entry');
    const detail = await query(halo.origin, { query: 'incident', id: incident.id });
    const cause = await seen(page, 'cause').first().getAttribute('data-entity');
    assert.equal(cause, detail.causes[0].entity, 'the first cause on screen is the first of the engine');
  });

  it('says of each member which value would have been quiet', async () => {
    const { members } = await query(halo.origin, { query: 'incident', id: incident.id });
    assert.ok(members.some((member) => Number.isFinite(member.quiet_at)), 'the engine knows for some');
    const shown = await seen(page, 'member-quiet').allInnerTexts();
    assert.ok(shown.some((text) => /^[≤≥] .*\d/.test(text)), `${shown}`);
  });

  it('says how likely it is real', async () => {
    const { summary } = await query(halo.origin, { query: 'incident', id: incident.id });
    assert.ok(summary.chance > 0 && summary.chance <= 1, `${summary.chance}`);
    const tile = seen(page, 'incident-chance');
    assert.match(await tile.innerText(), /Likely real\s+[1-9]\d? %/);
  });

  it('keeps the selection over a reload', async () => {
    await page.reload();
    await seen(page, 'incident-title').waitFor();
    assert.equal(await page.locator('[data-testid="incident"]').getAttribute('data-id'), incident.id);
  });

  it('takes a thumb and remembers it', async () => {
    const thumb = seen(page, 'feedback-useful');
    await thumb.click();
    await page.locator('[data-testid="feedback-useful"][aria-pressed="true"]').waitFor();
    await page.reload();
    await page.locator('[data-testid="feedback-useful"][aria-pressed="true"]').waitFor();
    await until('the audit names the feedback', 10_000, async () => {
      const audit = await query(halo.origin, { query: 'audit', limit: 100 });
      return audit.some((entry) => /feedback|verdict/i.test(JSON.stringify(entry)));
    });
  });

  it('counts the verdict among the sources', async () => {
    await page.goto(`${halo.origin}/sources`);
    await seen(page, 'verdicts-total').waitFor();
    assert.equal(await seen(page, 'verdicts-total').innerText(), '1 incident judged: 1 real, 0 false alarms');
    const members = seen(page, 'verdicts-members').locator('tbody tr');
    assert.ok((await members.count()) >= 1, 'at least one model voted for it');
    assert.match(await members.first().innerText(), /\s1\s+100 %$/);
    const chances = seen(page, 'verdicts-reliability').locator('tbody tr');
    assert.equal(await chances.count(), 1, 'one incident, one range of chances');
    assert.match(await chances.first().innerText(), /^\d+–\d+ %\s+1\s+100 %$/);
  });

  it('takes another verdict in place of the first', async () => {
    await page.goto(`${halo.origin}/incidents/${incident.id}`);
    await seen(page, 'feedback-false-alarm').click();
    await page.locator('[data-testid="feedback-false-alarm"][aria-pressed="true"]').waitFor();
    await page.goto(`${halo.origin}/sources`);
    await seen(page, 'verdicts').getByText('1 incident judged: 0 real, 1 false alarm').waitFor();
  });

  it('is found by searching the list', async () => {
    await page.goto(`${halo.origin}/incidents`);
    await seen(page, 'incident-search').fill(incident.id);
    await page.locator(`[data-testid="incident-row"][data-id="${incident.id}"]`).waitFor();
    assert.ok(page.url().includes('q='), 'the search is in the address');
    await seen(page, 'incident-search').fill('there is no such incident');
    await page.getByText('No incident matches').waitFor();
  });

  it('complains about nothing', () => assert.deepEqual(page.complaints, []));
});
