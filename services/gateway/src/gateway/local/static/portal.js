// Shows the examples of a page in tabs, in the language that the reader chose last. Without it, all are shown.
const KEY = "example-language";
const groups = [...document.querySelectorAll(".examples")].filter((group) => names(group).length > 1);

function names(group) {
  return [...new Set([...group.querySelectorAll("figure")].map((f) => f.dataset.language))].filter((l) => l !== "text");
}

function choose(language) {
  localStorage.setItem(KEY, language);
  for (const group of groups) {
    const shown = names(group).includes(language) ? language : names(group)[0];
    let current;
    for (const figure of group.querySelectorAll("figure")) {
      current = figure.dataset.language === "text" ? current : figure.dataset.language;
      figure.hidden = current !== shown;
    }
    for (const tab of group.querySelectorAll("button")) tab.setAttribute("aria-pressed", tab.value === shown);
  }
}

for (const group of groups) {
  const tabs = document.createElement("div");
  tabs.className = "tabs";
  for (const language of names(group)) {
    const tab = document.createElement("button");
    tab.value = language;
    tab.textContent = group.querySelector(`[data-language="${language}"] figcaption`).textContent;
    tab.addEventListener("click", () => choose(language));
    tabs.append(tab);
  }
  group.prepend(tabs);
}
choose(localStorage.getItem(KEY) ?? "sh");
