// The front end of `tenantry new --web` in a real browser: as two people of two tenants. Run by test_new.py.
import assert from "node:assert/strict"
import { createRequire } from "node:module"

const { PACKAGES, BASE_URL, CHROMIUM, SHOT } = process.env
const { chromium } = createRequire(`${PACKAGES}/package.json`)("playwright-core")
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] })
const page = await (await browser.newContext({ viewport: { width: 900, height: 600 } })).newPage()
page.setDefaultTimeout(60_000)
const seen = []
page.on("pageerror", (error) => { throw error })
page.on("request", (request) => seen.push(JSON.stringify(request.headers())))
try {
  await page.goto(BASE_URL)
  await page.locator("li", { hasText: "Acme: book the hall" }).waitFor()
  await page.getByLabel("Note").fill("From the browser")
  await page.getByRole("button", { name: "Add" }).click()
  await page.locator("li", { hasText: "From the browser" }).waitFor()
  if (SHOT) await page.screenshot({ path: SHOT })
  await page.getByLabel("As").selectOption("gem@globex.example")
  await page.locator("li", { hasText: "Globex: paint the globe" }).waitFor()
  assert.equal(await page.locator("li", { hasText: "From the browser" }).count(), 0, "another tenant sees nothing of it")
  await page.getByLabel("Note").fill("x".repeat(10_001))
  await page.getByRole("button", { name: "Add" }).click()
  await page.getByRole("alert").waitFor()
  assert.ok(!seen.some((headers) => headers.includes("authorization")), "no token is in the browser")
  console.log("the new front end: ok")
} finally {
  await browser.close()
}
