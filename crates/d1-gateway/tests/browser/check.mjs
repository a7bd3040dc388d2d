// Looks at the pages of a gateway in headless Chromium. Arguments: the URL of the gateway, a JSON list of its pages by name,
// and a directory for screenshots. Each failed check is a line; without one, the exit code is 0.
import { createRequire } from "node:module";
import { readFileSync, statSync } from "node:fs";

const [base, pagesText, shots] = process.argv.slice(2);
const pages = JSON.parse(pagesText);
const require = createRequire(process.env.PEER_MODULES + "/");
const { chromium } = require("playwright-core");
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

let failed = 0;
let passed = 0;
function check(good, name, detail = "") {
  if (good) {
    passed += 1;
  } else {
    failed += 1;
    console.log(`FAILED ${name}: ${detail}`);
  }
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });

// A page whose errors, foreign requests and policy violations count as failures.
async function open(name, options = {}) {
  const context = await browser.newContext({ acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.on("pageerror", (error) => check(false, name, `script error: ${error}`));
  page.on("console", (message) => {
    const expected = name.startsWith("error") && message.text().includes("status of 404");
    if (message.type() === "error" && !expected) check(false, name, `console: ${message.text()}`);
  });
  page.on("request", (request) => {
    check(request.url().startsWith(base) || request.url().startsWith("data:"), name, `request to ${request.url()}`);
  });
  page.on("dialog", async (dialog) => {
    check(false, name, `dialog: ${dialog.message()}`);
    await dialog.dismiss();
  });
  return { context, page };
}

async function axe(page, name) {
  await page.evaluate(axeSource);
  const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  for (const violation of result.violations) {
    const nodes = violation.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ");
    check(false, name, `axe ${violation.id}: ${nodes}`);
  }
  check(true, name);
}

// Every page, light and dark, wide and narrow.
for (const [name, path] of Object.entries(pages)) {
  const views = [["light", 1280], ["light", 320]];
  if (["home", "package", "table", "markdown", "compare"].includes(name)) views.push(["dark", 1280]);
  for (const [scheme, width] of views) {
    const label = `${name} ${scheme} ${width}`;
    const { context, page } = await open(label, { colorScheme: scheme, viewport: { width, height: 900 } });
    await page.goto(base + path, { waitUntil: "load" });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    check(overflow <= 0, label, `the page is ${overflow} pixels too wide`);
    check((await page.locator("h1").count()) === 1, label, "expected one h1");
    check((await page.locator("main").count()) === 1, label, "expected one main");
    await axe(page, label);
    if (shots) await page.screenshot({ path: `${shots}/${label.replaceAll(" ", "-")}.png`, fullPage: true });
    await context.close();
  }
}

// Keyboard only: skip link, search, first result, first file.
{
  const { context, page } = await open("keyboard");
  await page.goto(base + "/");
  await page.keyboard.press("Tab");
  check((await page.evaluate(() => document.activeElement.className)) === "skip", "keyboard", "expected the skip link first");
  const tabTo = async (selector) => {
    for (let presses = 0; presses < 60; presses += 1) {
      if (await page.evaluate((wanted) => document.activeElement.matches(wanted), selector)) {
        const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
        check(outline !== "none", "keyboard", `focus of ${selector} is invisible`);
        return;
      }
      await page.keyboard.press("Tab");
    }
    check(false, "keyboard", `Tab never came to ${selector}`);
  };
  await tabTo("#q");
  await page.keyboard.type("mooring");
  await page.keyboard.press("Enter");
  await page.waitForURL(/search/);
  await tabTo(".cards h3 a");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/p\//);
  await tabTo("#file-rows th a");
  await page.keyboard.press("Enter");
  await page.waitForURL(/view/);
  check((await page.locator("h1").textContent()).length > 0, "keyboard", "expected the page of a file");
  await context.close();
}

// Without JavaScript: searching, choosing files, plotting.
{
  const { context, page } = await open("no script", { javaScriptEnabled: false });
  await page.goto(base + "/");
  await page.fill("#words", "mooring");
  await page.locator(".hero button").click();
  check((await page.locator(".cards li").count()) > 0, "no script", "expected results");
  await page.goto(base + pages.package);
  await page.locator("#file-rows input[type=checkbox]").first().check();
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download chosen files" }).click();
  const zip = await download;
  check(zip.suggestedFilename().endsWith(".zip"), "no script", zip.suggestedFilename());
  check(statSync(await zip.path()).size > 100, "no script", "expected a zip");
  await context.close();
}

// Plots: the usual one, a chosen one, a distribution.
{
  const { context, page } = await open("plot");
  await page.goto(base + pages.table);
  check((await page.locator("figure.plot svg path.plot-line, figure.plot svg path.plot-band").count()) > 0, "plot", "expected a line");
  await page.selectOption("#plot-y", "");
  await page.getByRole("button", { name: "Plot", exact: true }).click();
  await page.waitForLoadState();
  check((await page.locator("figure.plot svg .plot-bars rect").count()) > 1, "plot", "expected bars");
  const link = await page.locator("figure.plot figcaption a").getAttribute("href");
  const svg = await (await page.request.get(link)).text();
  check(svg.startsWith("<svg xmlns="), "plot", svg.slice(0, 200));
  await context.close();
}

// Scripts: copying, filtering rows.
{
  const { context, page } = await open("script", { permissions: ["clipboard-read", "clipboard-write"] });
  await page.goto(base + pages.package);
  const before = await page.locator("#file-rows tr:visible").count();
  await page.fill("input[data-filter=file-rows]", "no file has this name");
  check((await page.locator("#file-rows tr:visible").count()) === 0 && before > 0, "script", "expected no row");
  await page.locator("#cite + .snippet .copy").click();
  await page.waitForFunction(() => document.querySelector("#status").textContent !== "");
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  check(copied.includes("Mooring"), "script", `copied ${copied}`);
  await context.close();
}

// Versions compared, and the cells of a table.
{
  const { context, page } = await open("compare");
  await page.goto(base + pages.package);
  await page.getByRole("link", { name: /^Compare with version/ }).first().click();
  await page.waitForURL(/compare/);
  const counts = await page.locator(".numbers").textContent();
  check(/[1-9]\d* changed/.test(counts), "compare", counts);
  await page.getByRole("link", { name: /^Changed cells/ }).first().click();
  await page.waitForURL(/file=/);
  check((await page.locator("ins").count()) > 0, "compare", "expected changed cells");
  await context.close();
}

// A proof: the button reads the bytes again and shows the result.
{
  const { context, page } = await open("proof");
  await page.goto(base + pages.table);
  await page.getByRole("button", { name: "Prove now" }).click();
  await page.waitForURL(/fixity/);
  check((await page.locator(".proof").textContent()).includes("every declared checksum"), "proof", "expected a proof");
  const receipt = await page.request.get(await page.locator(".proof a").getAttribute("href"));
  check((await receipt.json()).matches === true, "proof", "expected a receipt");
  await context.close();
}

// Print: no controls.
{
  const { context, page } = await open("print");
  await page.goto(base + pages.package);
  await page.emulateMedia({ media: "print" });
  check(!(await page.locator("header.site form").isVisible()), "print", "the search form is printed");
  check(await page.locator("h1").isVisible(), "print", "the title is missing");
  const pdf = await page.pdf({ format: "A4" });
  check(pdf.length > 10_000, "print", "expected a document");
  await context.close();
}

// Hostile content: nothing of it runs, and no policy is violated (`open` checks that).
{
  const { context, page } = await open("hostile");
  for (const path of Object.values(JSON.parse(process.env.HOSTILE_PAGES))) {
    await page.goto(base + path, { waitUntil: "load" });
    const injected = await page.locator("main script, main iframe, main [onerror], main [onload], main [onclick]").count();
    check(injected === 0, "hostile", `elements of the content in ${path}`);
    check((await page.evaluate(() => globalThis.hacked)) === undefined, "hostile", `a script ran in ${path}`);
  }
  await context.close();
}

await browser.close();
console.log(`${passed} checks passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
