// Cuts an answer into prose and code at its ``` fences, and shows it. What the model said becomes text nodes only, so
// that no markup in it is ever markup of the page.

const OPENING = /^\s*```[^`]*$/;
const CLOSING = /^\s*```\s*$/;

// The parts of a text in order: {kind: "prose" | "code", text}. A fence that is not closed yet lasts to the end.
export function splitFences(text) {
  const parts = [];
  let kind = "prose";
  let lines = [];
  const close = () => {
    const kept = kind === "code" ? lines : withoutEmptyEnds(lines);
    if (kind === "code" || kept.length > 0) {
      parts.push({ kind, text: kept.join("\n") });
    }
    lines = [];
  };
  for (const line of text.split("\n")) {
    if ((kind === "prose" ? OPENING : CLOSING).test(line)) {
      close();
      kind = kind === "prose" ? "code" : "prose";
    } else {
      lines.push(line);
    }
  }
  close();
  return parts;
}

function withoutEmptyEnds(lines) {
  const isFilled = (line) => line.trim() !== "";
  return lines.slice(Math.max(0, lines.findIndex(isFilled)), lines.findLastIndex(isFilled) + 1);
}

// Shows a growing text in an element. What stands already is left alone, so that a selection in it lasts.
export class FencedText {
  #element;
  #shown = [];

  constructor(element) {
    this.#element = element;
  }

  show(text) {
    const parts = splitFences(text);
    parts.forEach((part, index) => {
      const shown = this.#shown[index];
      if (shown?.kind === part.kind) {
        extend(shown.node, part.text);
      } else {
        this.#cut(index);
        this.#add(part);
      }
    });
    this.#cut(parts.length);
  }

  #add({ kind, text }) {
    const node = document.createTextNode(text);
    const element = document.createElement(kind === "code" ? "pre" : "p");
    if (kind === "code") {
      // Long lines scroll sideways, which the keyboard must reach too.
      element.tabIndex = 0;
    } else {
      element.dir = "auto";
    }
    element.append(node);
    this.#element.append(element);
    this.#shown.push({ kind, node, element });
  }

  #cut(length) {
    for (const { element } of this.#shown.splice(length)) {
      element.remove();
    }
  }
}

function extend(node, text) {
  if (text.startsWith(node.data)) {
    if (text.length > node.data.length) {
      node.appendData(text.slice(node.data.length));
    }
  } else {
    node.data = text;
  }
}
