"use strict";
// What is folded opens where somebody is led into it, and on paper; what scrolls says so.
(() => {
  const open = () => {
    const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = place; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (place && place.tagName === "SECTION" && place.firstElementChild.tagName === "DETAILS")
      place.firstElementChild.open = true;
    if (place) place.scrollIntoView();
  };
  addEventListener("hashchange", open);
  addEventListener("DOMContentLoaded", open);
  const measure = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      const box = target.closest(".scroll");
      box.classList.toggle("over", box.scrollWidth > box.clientWidth + 1);
    }
  });
  for (const part of document.querySelectorAll(".scroll, .scroll > table")) measure.observe(part);
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of folded) one.open = false;
  });
})();
