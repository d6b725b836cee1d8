// Topology, metrics and the wall: what a person looks at while an incident is open.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { faultIncident, launch, openPage, photograph, PATIENCE_MS, query, seen, startDemo, until } from '../halo.mjs';

describe('explore', () => {
  let halo, browser, page, incident, detail;
  before(async () => {
    halo = await startDemo();
    browser = await launch();
    page = await openPage(browser);
    incident = await faultIncident(halo.origin);
    detail = await query(halo.origin, { query: 'incident', id: incident.id });
  });
  after(async () => {
    await browser?.close();
    await halo?.stop();
  });

  it('draws the topology with the blast radius of an incident', async () => {
    await page.goto(`${halo.origin}/topology`);
    const graph = page.locator('.topology__graph canvas').first();
    await graph.waitFor();
    assert.ok((await graph.boundingBox()).width > 300, 'the graph has room');
    const button = page.locator(`[data-testid="blast-radius"][data-id="${incident.id}"]`);
    await button.click();
    await page.waitForURL(/incident=/);
    await page.reload();
    await page.locator(`[data-testid="blast-radius"][data-id="${incident.id}"][aria-pressed="true"]`).waitFor();
    await graph.waitFor();
    assert.ok(await isDrawn(graph), 'the graph is not blank');
  });

  it('opens an entity beside the graph and keeps it over a reload', async () => {
    const entity = detail.causes[0].entity;
    await seen(page, 'entity-search').fill(entity);
    await page.locator('[data-testid="entity-link"]', { hasText: entity }).first().click();
    const panel = page.locator(`[data-testid="entity-panel"][data-id="${entity}"]`);
    await panel.waitFor();
    await page.reload();
    await panel.waitFor();
    await seen(page, 'panel-series').first().waitFor();
    await seen(page, 'close-panel').click();
    await panel.waitFor({ state: 'detached' });
  });

  it('tells who says that there is a dependency, and what the graph was an hour ago', async () => {
    const response = await fetch(`${halo.origin}/api/command`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ command: 'declare_edge', edge: { caller: 'flow-shop', callee: 'flow-ledger' } }),
    });
    assert.ok(response.ok, `${response.status} ${await response.text()}`);
    await page.goto(`${halo.origin}/topology?entity=flow-shop`);
    const neighbor = seen(page, 'neighbor').filter({ hasText: 'flow-ledger' });
    await neighbor.filter({ hasText: /declared · seen/ }).waitFor();
    const ledger = page.locator('[data-testid="entity-link"]', { hasText: 'flow-ledger' });
    await ledger.waitFor();
    await seen(page, 'as-of').selectOption({ label: 'An hour ago' });
    await page.waitForURL(/at=\d+/);
    await seen(page, 'past-change').filter({ hasText: /more now/ }).waitFor();
    await ledger.waitFor({ state: 'detached' });
    await photograph(page, 'topology-past');
    await page.reload();
    await seen(page, 'past-change').filter({ hasText: /more now/ }).waitFor();
    await seen(page, 'as-of').selectOption({ label: 'As it is now' });
    await ledger.waitFor();
    assert.equal(await seen(page, 'past').count(), 0);
  });

  it('drills down to a metric: band, votes and data', async () => {
    const id = detail.causes[0].series ?? detail.members[0].series;
    await page.goto(`${halo.origin}/series`);
    await seen(page, 'metric-search').fill(detail.causes[0].entity);
    await page.locator(`[data-testid="series-row"][data-id="${id}"] a`).first().click();
    await page.waitForURL(`${halo.origin}/series/${id}`);
    await page.reload();
    await seen(page, 'metric-title').waitFor();
    const chart = page.locator('main canvas').first();
    await chart.waitFor();
    assert.ok((await chart.boundingBox()).height > 100, 'the chart has room');
    assert.ok(await isDrawn(chart), 'the chart is not blank');
    for (const model of ['stl', 'forest', 'autoencoder', 'novelty']) await seen(page, `vote-${model}`).waitFor();
    assert.ok((await seen(page, 'explanation').innerText()).length > 10, 'a sentence about the last sample');
    const series = await query(halo.origin, { query: 'series', id });
    assert.ok(series.points.some((point) => point.lower !== null && point.upper !== null), 'an expected band');
    await seen(page, 'show-data').click();
    await seen(page, 'data-table').waitFor();
  });

  it('says what is behind an anomaly, model by model', async () => {
    const { answer, evidence } = await until('a series of the incident bears evidence', PATIENCE_MS, async () => {
      for (const { series } of detail.members) {
        const reply = await query(halo.origin, { query: 'series', id: series });
        const found = reply.evidence?.anomaly ? reply.evidence : reply.last_anomaly;
        if (found?.members.length > 0 && found.quiet_at !== null) return { answer: reply, evidence: found };
      }
      return undefined;
    });
    // The replay goes on: the page gets this very answer, so that what it shows can be compared.
    const { id } = answer.summary.info;
    const hold = (route) => {
      const asked = route.request().postDataJSON();
      return asked.query === 'series' && asked.id === id
        ? route.fulfill({ json: { reply: 'series', data: answer } })
        : route.continue();
    };
    await page.route('**/api/query', hold);
    await page.goto(`${halo.origin}/series/${id}`);
    const rows = seen(page, 'member-saw');
    await rows.first().waitFor();
    assert.equal(await rows.count(), evidence.members.length, 'every model that was asked');
    for (const [at, { member, saw, vote }] of evidence.members.entries()) {
      const text = await rows.nth(at).innerText();
      for (const part of [member, saw, vote ? 'anomalous' : 'normal']) {
        assert.ok(text.toLowerCase().includes(part.toLowerCase()), `${part} in: ${text}`);
      }
    }
    assert.match(evidence.sentence, /it would have kept quiet/);
    await page.getByText(evidence.sentence).waitFor();
    await page.unroute('**/api/query', hold);
  });

  it('marks a deploy on the chart of the entity it changed', async () => {
    const id = detail.causes[0].series ?? detail.members[0].series;
    const { entity } = detail.causes[0];
    const { last_at: at } = (await query(halo.origin, { query: 'series', id })).summary;
    const response = await fetch(`${halo.origin}/api/deploys`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ entity, version: 'v2.4.1-flow', at }),
    });
    assert.ok(response.ok, `${response.status} ${await response.text()}`);
    await until('the series bears the marker', 15_000, async () => {
      const { markers } = await query(halo.origin, { query: 'series', id });
      return markers.some((marker) => marker.kind === 'deploy' && marker.text.includes('v2.4.1-flow'));
    });
  });

  it('shows the wall without chrome, readable from afar', async () => {
    const wall = await openPage(browser, { viewport: { width: 1920, height: 1080 } });
    await wall.goto(`${halo.origin}/wall`);
    await seen(wall, 'wall').waitFor();
    await seen(wall, 'wall-clock').waitFor();
    assert.equal(await seen(wall, 'nav').count(), 0, 'no navigation');
    await seen(wall, 'wall-incident').first().waitFor({ timeout: PATIENCE_MS });
    const fits = await wall.evaluate(() => document.documentElement.scrollHeight <= window.innerHeight + 1);
    assert.ok(fits, 'nothing to scroll at 1920x1080');
    assert.deepEqual(wall.complaints, []);
    await wall.context().close();
  });

  it('keeps a picture of every page in both themes', async () => {
    const pages = {
      now: '/',
      incidents: '/incidents',
      incident: `/incidents/${incident.id}`,
      topology: `/topology?incident=${incident.id}`,
      metrics: '/series',
      metric: `/series/${detail.members[0].series}`,
      approvals: '/approvals',
      sources: '/sources',
    };
    for (const colorScheme of ['light', 'dark']) {
      const look = await openPage(browser, { colorScheme, reducedMotion: 'reduce' });
      for (const [name, path] of Object.entries(pages)) {
        await look.goto(`${halo.origin}${path}`);
        await look.locator('main h1').first().waitFor();
        await look.locator('[data-testid="loading"]').first().waitFor({ state: 'detached' });
        await photograph(look, `${name}-${colorScheme}`);
        const overflow = await look.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(overflow <= 0, `${name} is ${overflow} px wider than the window`);
      }
      await look.setViewportSize({ width: 1920, height: 1080 });
      await look.goto(`${halo.origin}/wall`);
      await seen(look, 'wall-clock').waitFor();
      await photograph(look, `wall-${colorScheme}`);
      assert.deepEqual(look.complaints, []);
      await look.context().close();
    }
  });

  it('complains about nothing', () => assert.deepEqual(page.complaints, []));
});

/** Whether a canvas holds more than one color. */
function isDrawn(canvas) {
  return canvas.evaluate((element) => {
    const { width, height } = element;
    const { data } = element.getContext('2d').getImageData(0, 0, width, height);
    const colors = new Set();
    for (let at = 0; at < data.length && colors.size < 8; at += 4) {
      colors.add((data[at] << 24) | (data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3]);
    }
    return colors.size >= 4;
  });
}
