// Milliseconds from starting `halo serve`, on a data directory that it has used before, to a console that shows live
// data. Chromium is open already: what is measured is Halo's own start, its console's download and first drawing.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launch, openPage, startHalo } from './halo.mjs';

const folder = mkdtempSync(join(tmpdir(), 'halo-start-'));
const browser = await launch();
try {
  // The first run makes the data directory and some data in it; it is not measured.
  const first = await startHalo(['serve'], join(folder, 'data'));
  await first.stop();

  const page = await openPage(browser);
  const started = performance.now();
  const halo = await startHalo(['serve'], join(folder, 'data'));
  await page.goto(halo.origin);
  await page.locator('[data-testid="connection"][data-state="live"]').waitFor();
  await page.locator('[data-testid="headline"]').waitFor();
  console.log((performance.now() - started).toFixed(1));
  await halo.stop();
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
