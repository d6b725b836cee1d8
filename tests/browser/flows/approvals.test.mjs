// Nothing runs without a click: a proposal shows its dry run, is approved or rejected, and the audit says by whom.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launch, openPage, faultProposal, PATIENCE_MS, query, seen, startDemo, stateOf, until } from '../halo.mjs';

describe('approvals', () => {
  let halo, browser, page, proposal;
  before(async () => {
    halo = await startDemo();
    browser = await launch();
    page = await openPage(browser);
    proposal = await faultProposal(halo.origin);
    await page.goto(`${halo.origin}/approvals?proposal=${proposal.id}`);
  });
  after(async () => {
    await browser?.close();
    await halo?.stop();
  });

  const current = async () => {
    const { proposals } = await query(halo.origin, { query: 'snapshot' });
    return proposals.find((each) => each.id === proposal.id);
  };

  it('shows what would run before anybody approves', async () => {
    await page.locator(`[data-testid="proposal"][data-id="${proposal.id}"]`).waitFor({ timeout: PATIENCE_MS });
    assert.ok((await seen(page, 'dry-run').first().innerText()).length > 10, 'a rendered request');
    assert.ok((await seen(page, 'policy').innerText()).length > 10, 'reasons of the policy');
    assert.equal(stateOf(await current()), 'pending', 'looking at it ran nothing');
  });

  it('runs when it is approved, and says what came of it', async () => {
    await seen(page, 'approve').click();
    const done = await until('the proposal has an outcome', 60_000, async () => {
      const now = await current();
      return now && ['succeeded', 'failed'].includes(stateOf(now)) ? now : undefined;
    });
    assert.equal(stateOf(done), 'succeeded', JSON.stringify(done.state));
    await seen(page, 'outcome').waitFor();
    await until('the audit names the approval', 10_000, async () => {
      const audit = await query(halo.origin, { query: 'audit', limit: 100 });
      return audit.some((entry) => /approve/.test(entry.action) && JSON.stringify(entry).includes(proposal.id));
    });
    await seen(page, 'audit-entry').first().waitFor();
  });

  it('complains about nothing', () => assert.deepEqual(page.complaints, []));
});

describe('rejection', () => {
  let halo, browser, page;
  before(async () => {
    halo = await startDemo();
    browser = await launch();
    page = await openPage(browser);
  });
  after(async () => {
    await browser?.close();
    await halo?.stop();
  });

  it('keeps the reason and never runs the plan', async () => {
    const proposal = await faultProposal(halo.origin);
    await page.goto(`${halo.origin}/approvals?proposal=${proposal.id}`);
    await seen(page, 'reject').click();
    await seen(page, 'reject-reason').fill('a person is on it already');
    await seen(page, 'reject-confirm').click();
    const rejected = await until('the engine says rejected', 10_000, async () => {
      const { proposals } = await query(halo.origin, { query: 'snapshot' });
      const now = proposals.find((each) => each.id === proposal.id);
      return now && stateOf(now) === 'rejected' ? now : undefined;
    });
    assert.match(JSON.stringify(rejected.state), /a person is on it already/);
    await page.getByText('a person is on it already').first().waitFor();
    assert.deepEqual(page.complaints, []);
  });
});
