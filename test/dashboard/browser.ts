/** A real Chromium on a page, and a proxy that can cut its connection. */
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import { type Browser, type BrowserContextOptions, type Page, chromium } from 'playwright-core';
import { CHROMIUM } from './programs.js';

export const launch = (): Promise<Browser> =>
  chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--process-per-site'] });

export interface OpenPage {
  readonly page: Page;
  /** What the browser complains of: nothing, on a page that keeps to its own policy. */
  readonly complaints: string[];
}

export async function open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<OpenPage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(url);
  await page.waitForSelector('#connection[data-state=live]');
  return { page, complaints };
}

/** The rows of a table, cells as text. */
export const rowsOf = (page: Page, selector: string): Promise<string[][]> =>
  page.$$eval(`${selector} tbody tr`, (rows) =>
    rows.map((row) => [...row.children].map((cell) => cell.textContent ?? '')),
  );

/** A way to the server that can be cut. */
export class Proxy {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  #open = true;

  constructor(to: number) {
    this.#server = createServer((from) => {
      if (!this.#open) {
        from.destroy();
        return;
      }
      const there = connect(to, '127.0.0.1');
      for (const socket of [from, there]) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          this.#sockets.delete(socket);
          from.destroy();
          there.destroy();
        });
      }
      from.pipe(there);
      there.pipe(from);
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  cut(): void {
    this.#open = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#open = true;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
