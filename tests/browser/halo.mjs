// A real `halo demo` on a free loopback port, and a real Chromium looking at it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

/**
 * How many times faster than recorded the demo runs here. The fault comes after some two recorded hours and lasts less than
 * one: this is fast enough to wait for, and slow enough to act before it is over.
 */
const SPEED = process.env.HALO_TEST_SPEED ?? '1500';

/** The longest a single expectation may take: the replay must reach the fault, on a machine that does other work too. */
export const PATIENCE_MS = 240_000;

/** Where pictures go. */
export const artifacts = process.env.HALO_ARTIFACTS ?? join(tmpdir(), 'halo-artifacts');

/** Starts `halo` with the arguments, waits until it is ready, and returns its origin and how to stop it. */
export async function startHalo(args, dataDir) {
  const program = process.env.HALO_BIN;
  if (!program) throw new Error('HALO_BIN is not set: run this by `cargo xtask test --only browser`');
  const address = await freeAddress();
  const folder = mkdtempSync(join(tmpdir(), 'halo-browser-'));
  const log = openSync(join(folder, 'halo.log'), 'a');
  const all = [...args, '--listen', address, '--data-dir', dataDir ?? join(folder, 'data')];
  const child = spawn(program, all, { stdio: ['ignore', log, log] });
  closeSync(log);
  const exited = once(child, 'exit');
  const origin = `http://${address}`;
  const stop = async () => {
    child.kill('SIGTERM');
    const insist = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await exited;
    clearTimeout(insist);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await until(`${program} is ready`, 60_000, async () => {
      if (child.exitCode !== null) throw new Error(`halo ended with ${child.exitCode}`);
      return (await fetch(`${origin}/-/ready`)).ok;
    });
  } catch (error) {
    const written = readFileSync(join(folder, 'halo.log'), 'utf8').split('\n').slice(-30).join('\n');
    await stop();
    throw new Error(`${error.message}\n${written}`);
  }
  return { origin, stop };
}

/** Starts the demo, fast. */
export function startDemo() {
  return startHalo(['demo', '--speed', SPEED]);
}

/** Asks the engine what the console asks it. */
export async function query(origin, body) {
  const response = await fetch(`${origin}/api/query`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${JSON.stringify(body)} answered ${response.status}: ${await response.text()}`);
  return (await response.json()).data;
}

/** Chromium as CI has it: no sandbox as root, no GPU. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.HALO_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  });
}

/**
 * Opens a page that keeps account of what must not happen: script errors, refused requests, and any request that leaves
 * this machine. `page.complaints` holds them.
 */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(`script error: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') page.complaints.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (hostname !== '127.0.0.1' && !['data:', 'blob:'].includes(protocol)) {
      page.complaints.push(`left this machine: ${request.url()}`);
    }
  });
  page.on('response', (response) => {
    if (response.status() >= 400) page.complaints.push(`${response.status()} ${response.url()}`);
  });
  return page;
}

/** The element of that `data-testid`. */
export function seen(page, testid) {
  return page.locator(`[data-testid="${testid}"]`);
}

/** Waits until the recorded fault is an open incident, and returns its summary. Smaller ones come and go before it. */
export async function faultIncident(origin) {
  return until('the fault is an incident', PATIENCE_MS, async () => {
    const { incidents } = await query(origin, { query: 'snapshot' });
    return incidents.find(isOpenFault);
  });
}

/** Waits until a remedy for the fault waits for a decision, and returns the proposal. */
export async function faultProposal(origin) {
  return until('a remedy waits for approval', PATIENCE_MS, async () => {
    const { incidents, proposals } = await query(origin, { query: 'snapshot' });
    const faults = new Set(incidents.filter(isOpenFault).map((incident) => incident.id));
    return proposals.find((proposal) => stateOf(proposal) === 'pending' && faults.has(proposal.incident));
  });
}

function isOpenFault(incident) {
  return incident.state !== 'resolved' && ['P1', 'P2'].includes(incident.severity);
}

/** The name of a proposal's state; the rest of it says who decided, when and why. */
export function stateOf(proposal) {
  const { state } = proposal;
  return state.state;
}

/** Looks again and again until `look` answers with something true. */
export async function until(what, limitMs, look) {
  const deadline = performance.now() + limitMs;
  let last;
  for (;;) {
    try {
      const found = await look();
      if (found) return found;
      last = 'not yet';
    } catch (error) {
      last = error.message;
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${limitMs / 1000} s; the last look said: ${last}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Saves a picture of the page under `artifacts`. */
export async function photograph(page, name) {
  mkdirSync(artifacts, { recursive: true });
  await page.screenshot({ path: join(artifacts, `${name}.png`) });
}

function freeAddress() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(`127.0.0.1:${port}`));
    });
  });
}
