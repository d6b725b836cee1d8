// An alert of another system becomes an incident; people are told of it, see why, and take it into their hands.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { launch, openPage, photograph, query, seen, startHalo, until } from '../halo.mjs';

/** What the other side of a webhook is sent. */
class Receiver {
  bodies = [];
  status = 200;

  async start() {
    this.server = createServer(async (request, response) => {
      let text = '';
      for await (const part of request) text += part;
      this.bodies.push(JSON.parse(text));
      response.writeHead(this.status).end('thank you');
    });
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `http://127.0.0.1:${this.server.address().port}/halo`;
  }

  stop() {
    this.server?.close();
  }
}

describe('notifications', () => {
  const receiver = new Receiver();
  let folder, halo, browser, page;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'halo-notify-'));
    const url = await receiver.start();
    const config = join(folder, 'halo.toml');
    writeFileSync(
      config,
      `[host]\nenabled = false\n[notify]\nwait_secs = 1\nlink_base = "https://halo.example"\n
       [[notify.channel]]\nname = "shop-chat"\nkind = "webhook"\nurl = "${url}"\n
       [[notify.schedule]]\nname = "primary"\nstart = "2026-01-05T09:00"\nchannels = ["shop-chat"]\n`,
    );
    halo = await startHalo(['serve', '--otlp-grpc', 'off', '--config', config]);
    browser = await launch();
    page = await openPage(browser);
  });
  after(async () => {
    await browser?.close();
    await halo?.stop();
    receiver.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const incidents = async () => (await query(halo.origin, { query: 'snapshot' })).incidents;

  it('tries a channel by a button', async () => {
    await page.goto(`${halo.origin}/notifications`);
    await seen(page, 'channel').waitFor();
    await seen(page, 'channel-test').click();
    await page.locator('[data-testid="delivery"][data-state="delivered"]').waitFor();
    assert.equal(receiver.bodies.length, 1);
    assert.match(receiver.bodies[0].commonAnnotations.summary, /^\[P4\] test: Example/);
    assert.match(await seen(page, 'delivery').first().innerText(), /shop-chat · test\s+delivered.*200 OK: thank you/s);
    assert.match(await seen(page, 'turn').innerText(), /shop-chat/);
  });

  it('shows a message without sending it', async () => {
    await seen(page, 'channel-preview').click();
    await seen(page, 'preview').getByText('HaloIncident').first().waitFor();
    await seen(page, 'channel-preview').click();
    await seen(page, 'preview').waitFor({ state: 'detached' });
    assert.equal(receiver.bodies.length, 1);
  });

  it('tells people of an incident, once, and says why', async () => {
    const labels = { alertname: 'TooManyErrors', service: 'checkout', severity: 'critical' };
    const answer = await fetch(`${halo.origin}/api/v2/alerts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify([{ labels, annotations: { summary: 'one in ten fails' } }]),
    });
    assert.equal(answer.status, 200);
    const [incident] = await until('an incident', 30_000, async () => {
      const all = await incidents();
      return all.length ? all : null;
    });
    await until('the receiver hears of it', 30_000, () => receiver.bodies.length === 2);
    assert.equal(receiver.bodies[1].status, 'firing');
    assert.equal(receiver.bodies[1].commonLabels.incident, incident.id);
    assert.equal(receiver.bodies[1].alerts[0].generatorURL, `https://halo.example/incidents/${incident.id}`);
    await page.goto(`${halo.origin}/incidents/${incident.id}`);
    await seen(page, 'told-summary').getByText('Told to shop-chat').waitFor();
    await seen(page, 'decisions').locator('summary').click();
    await seen(page, 'decisions').getByText('as there are no routes').waitFor();
    await photograph(page, 'incident-told');
  });

  it('is taken, graded, commented and put off', async () => {
    await page.keyboard.press('m');
    await until('somebody has it', 10_000, async () => (await incidents())[0].assignee);
    await seen(page, 'unassign').waitFor();
    await seen(page, 'grade-p1').click();
    await until('it is worse', 10_000, async () => (await incidents())[0].severity === 'P1');
    await until('people hear that it is worse', 30_000, () => receiver.bodies.length === 3);
    assert.match(receiver.bodies[2].commonAnnotations.summary, /^\[P1\] worse: /);
    await seen(page, 'comment').fill('the payment provider is down');
    await seen(page, 'comment-send').click();
    await seen(page, 'timeline').getByText('the payment provider is down').waitFor();
    assert.equal(await seen(page, 'comment').inputValue(), '');
    await seen(page, 'snooze-2-h').click();
    await seen(page, 'snoozed').getByText('nobody is told for').waitFor();
    await seen(page, 'unsnooze').click();
    await seen(page, 'snooze-2-h').waitFor();
    await until('people hear that it is still there', 30_000, () => receiver.bodies.length === 4);
    assert.match(receiver.bodies[3].commonAnnotations.summary, /^\[P1\] still open: /);
  });

  it('is resolved, told to be over, and opened again', async () => {
    await seen(page, 'resolve').first().click();
    await until('people hear that it is over', 30_000, () => receiver.bodies.length === 5);
    assert.equal(receiver.bodies[4].status, 'resolved');
    await seen(page, 'reopen').click();
    await until('it is open', 10_000, async () => (await incidents())[0].state === 'open');
    await until('people hear of it again', 30_000, () => receiver.bodies.length === 6);
    assert.match(receiver.bodies[5].commonAnnotations.summary, /^\[P1\] open again: /);
  });

  it('says on the first page that people cannot be told', async () => {
    receiver.status = 403;
    await page.goto(`${halo.origin}/notifications`);
    await seen(page, 'channel-test').click();
    await page.locator('[data-testid="delivery"][data-state="failed"]').waitFor();
    await photograph(page, 'notifications');
    await page.goto(halo.origin);
    await seen(page, 'unheard').getByText('403 Forbidden').waitFor();
    await photograph(page, 'now-unheard');
  });

  it('complains about nothing', () => assert.deepEqual(page.complaints, []));
});

describe('notifications without a channel', () => {
  let halo, browser, page;
  before(async () => {
    halo = await startHalo(['serve', '--otlp-grpc', 'off']);
    browser = await launch();
    page = await openPage(browser);
  });
  after(async () => {
    await browser?.close();
    await halo?.stop();
  });

  it('says that nobody is told, and what to write', async () => {
    await page.goto(`${halo.origin}/notifications`);
    await seen(page, 'no-channels').getByText('Nobody is told of anything').waitFor();
    await page.getByText('[[notify.channel]]').waitFor();
    await photograph(page, 'notifications-empty');
  });
});
