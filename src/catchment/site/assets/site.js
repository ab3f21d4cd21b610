// Light and dark, and the search. Every page is whole without this script.
(function () {
  "use strict";
  var page = document.documentElement;

  function stored() {
    try { return localStorage.getItem("catchment-theme"); } catch (error) { return null; }
  }
  function store(theme) {
    try { localStorage.setItem("catchment-theme", theme); } catch (error) { /* a browser that keeps nothing */ }
  }
  if (stored()) { page.dataset.theme = stored(); }

  function isDark() {
    return page.dataset.theme ? page.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function loadIndex(then) {
    if (window.catchmentIndex) { then(); return; }
    var script = document.createElement("script");
    script.src = page.dataset.root + "assets/index.js";
    script.onload = then;
    document.head.append(script);
  }

  // The smaller the better; null where nothing fits. Names before descriptions, beginnings before middles.
  function fits(words, name, description) {
    var all = 0;
    for (var word of words) {
      var at = name.indexOf(word);
      if (at === 0 || (at > 0 && /[._]/.test(name[at - 1]))) { all += at === 0 ? 0 : 1; }
      else if (at > 0) { all += 3; }
      else if (description.includes(word)) { all += 8; }
      else { return null; }
    }
    return all + name.length / 200;
  }

  function search(text) {
    var words = text.toLowerCase().split(/\s+/).filter(Boolean), found = [];
    if (!words.length) { return found; }
    for (var [name, group, file, description, columns] of window.catchmentIndex) {
      var low = name.toLowerCase(), score = fits(words, low, description.toLowerCase());
      if (score !== null) { found.push({ score: score, name: name, group: group, href: file, words: description }); }
      for (var [column, anchor] of columns) {
        var own = fits(words, column.toLowerCase(), "");
        var whole = own === null ? fits(words, low + "." + column.toLowerCase(), "") : own;
        if (whole !== null) {
          found.push({ score: whole + 2, name: name + "." + column, group: group, href: file + "#" + anchor, words: "column of " + name });
        }
      }
    }
    found.sort(function (one, other) { return one.score - other.score || (one.name < other.name ? -1 : 1); });
    return found.slice(0, 40);
  }

  document.addEventListener("DOMContentLoaded", function () {
    document.getElementById("theme").addEventListener("click", function () {
      page.dataset.theme = isDark() ? "light" : "dark";
      store(page.dataset.theme);
    });

    var parts = document.querySelector(".parts"), here = parts.querySelector("[aria-current]");
    if (here) { parts.scrollLeft = here.offsetLeft - parts.offsetLeft - 24; }

    var input = document.getElementById("search"), list = document.getElementById("found"), chosen = -1;

    function close() {
      list.hidden = true;
      input.setAttribute("aria-expanded", "false");
      input.removeAttribute("aria-activedescendant");
    }
    function choose(place) {
      var items = list.querySelectorAll("[role=option]");
      if (!items.length) { return; }
      chosen = (place + items.length) % items.length;
      items.forEach(function (item, at) { item.setAttribute("aria-selected", at === chosen ? "true" : "false"); });
      items[chosen].scrollIntoView({ block: "nearest" });
      input.setAttribute("aria-activedescendant", items[chosen].id);
    }
    function show() {
      if (!window.catchmentIndex || !input.value.trim()) { close(); return; }
      var found = search(input.value);
      list.replaceChildren();
      found.forEach(function (one, at) {
        var item = document.createElement("li"), link = document.createElement("a");
        var name = document.createElement("b"), words = document.createElement("span");
        item.id = "found-" + at;
        item.setAttribute("role", "option");
        link.href = page.dataset.root + one.href;
        link.tabIndex = -1;
        name.className = "dot " + one.group;
        name.textContent = one.name;
        words.textContent = one.words;
        link.append(name, words);
        item.append(link);
        list.append(item);
      });
      if (!found.length) {
        var nothing = document.createElement("li");
        nothing.className = "nothing";
        nothing.textContent = "Nothing is called so.";
        list.append(nothing);
      }
      list.hidden = false;
      input.setAttribute("aria-expanded", "true");
      choose(0);
    }

    input.addEventListener("focus", function () { loadIndex(show); });
    input.addEventListener("input", show);
    input.addEventListener("keydown", function (event) {
      if (event.key === "ArrowDown") { choose(chosen + 1); event.preventDefault(); }
      else if (event.key === "ArrowUp") { choose(chosen - 1); event.preventDefault(); }
      else if (event.key === "Escape") { close(); input.blur(); }
      else if (event.key === "Enter" && !list.hidden) {
        var link = list.querySelector("[aria-selected=true] a");
        if (link) { close(); location.href = link.href; }
      }
    });
    document.addEventListener("click", function (event) {
      if (!event.target.closest(".search")) { close(); }
      else if (event.target.closest("#found a")) { close(); }
    });
    document.addEventListener("keydown", function (event) {
      var typing = /^(input|textarea|select)$/i.test(event.target.tagName) || event.target.isContentEditable;
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        input.focus();
        input.select();
      }
    });
  });
})();
