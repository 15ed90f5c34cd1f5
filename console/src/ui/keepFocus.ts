/**
 * The focus, when the element that has it is removed: a browser leaves it at the top of the page, from where a person who
 * uses the keyboard or a screen reader must find the way back.
 */

/** No fields: the focus in one opens the keyboard of a phone. */
const FOCUSABLE = ":is(a[href], button, [tabindex]):not([tabindex='-1'])";
/** What is not left in search of a neighbour. */
const BOUNDARY = "dialog, main, nav, body";
/** Where the focus is only for a moment: it returns to where it was before. */
const PASSING = ".toasts";
const CONTENT = "main [tabindex='0']";

let last: Element | null = null;
let beforePassing: Element | null = null;

/** Move the focus to a neighbour whenever the element that has it is removed. */
export function keepFocus(): void {
  document.addEventListener("focusin", ({ target, relatedTarget }) => {
    last = target as Element;
    const passing = last.closest(PASSING);
    if (passing && !passing.contains(relatedTarget as Element | null)) beforePassing = relatedTarget as Element | null;
  });
  document.addEventListener("pointerdown", ({ target }) => {
    if (!last?.contains(target as Element)) last = null; // what is pressed has the focus next, if it takes it
  });
  new MutationObserver((records) => {
    if (last === null || last.isConnected || document.activeElement !== document.body) return;
    const place = placeOf(last, records);
    const name = last.getAttribute("name");
    last = null;
    if (place) for (const each of neighbours(place, name)) if (takesFocus(each)) return;
  }).observe(document.body, { childList: true, subtree: true });
}

/** Focus an element that takes the focus only this once. */
export function focusOnce(element: HTMLElement): void {
  if (!element.hasAttribute("tabindex")) {
    element.tabIndex = -1;
    element.addEventListener("blur", () => element.removeAttribute("tabindex"), { once: true });
  }
  element.focus({ preventScroll: true });
}

interface Place {
  parent: Element;
  next: Node | null;
  previous: Node | null;
  added: readonly Node[];
}

/** Where an element was, or what held it, in the part of the page that is still there. */
function placeOf(removed: Element, records: readonly MutationRecord[]): Place | null {
  let gone: Node = removed;
  let place: Place | null = null;
  for (const { target, removedNodes, nextSibling, previousSibling } of records) {
    if (![...removedNodes].some((each) => each.contains(gone))) continue;
    const added = records.filter((each) => each.target === target).flatMap((each) => [...each.addedNodes]);
    place = { parent: target as Element, next: nextSibling, previous: previousSibling, added };
    gone = target;
  }
  return place?.parent.isConnected ? place : null;
}

/** What may take the focus: what has its name, what replaces the element, what stands beside it, then beside its parents. */
function* neighbours({ parent, next, previous, added }: Place, name: string | null): Generator<Element> {
  if (name) yield* parent.querySelectorAll(`[name="${CSS.escape(name)}"]`);
  if (parent.closest(PASSING)) {
    if (beforePassing) yield beforePassing;
  } else {
    for (const each of added) yield* focusable(each);
    yield* beside(next, previous);
    for (let within = parent; !within.matches(BOUNDARY); within = within.parentElement!) {
      if (within.matches(FOCUSABLE)) yield within;
      yield* beside(within.nextSibling, within.previousSibling);
    }
    yield* focusable(parent.closest("dialog, nav"));
  }
  yield* document.querySelectorAll(CONTENT);
}

function* beside(next: Node | null, previous: Node | null): Generator<Element> {
  for (let each = next; each; each = each.nextSibling) yield* focusable(each);
  for (let each = previous; each; each = each.previousSibling) yield* focusable(each).reverse();
}

function focusable(node: Node | null): Element[] {
  if (!(node instanceof Element)) return [];
  return [...(node.matches(FOCUSABLE) ? [node] : []), ...node.querySelectorAll(FOCUSABLE)];
}

function takesFocus(element: Element): boolean {
  if (!(element instanceof HTMLElement) || !element.isConnected) return false;
  element.focus({ preventScroll: true });
  return document.activeElement === element;
}
