// What a tab or a browser remembers, as JSON. A browser may forbid it or be full: then nothing is remembered, and
// nothing else happens. What comes back may be anything; whoever reads it checks it.

export function readStored(name, key) {
  try {
    return JSON.parse(window[name].getItem(key));
  } catch {
    return null;
  }
}

export function writeStored(name, key, value) {
  try {
    window[name].setItem(key, JSON.stringify(value));
  } catch {
    // Full or forbidden: see above.
  }
}
