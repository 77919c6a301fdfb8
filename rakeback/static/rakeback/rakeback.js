/* Copy buttons, number columns and the chart's readout. No inline handlers and nothing evaluated, so it needs no more
   than script-src 'self'. Everything is delegated from the document: rows that arrive later work as well. */
(function () {
    "use strict";

    const SHOWN_MS = 1600;

    function announce(text) {
        let region = document.getElementById("rb-said");
        if (!region) {
            region = document.createElement("div");
            region.id = "rb-said";
            region.className = "rb-said";
            region.setAttribute("role", "status");
            document.body.append(region);
        }
        region.textContent = text;
    }

    function copyBySelection(text) {
        // The clipboard interface is missing on sites without TLS.
        const area = document.createElement("textarea");
        area.value = text;
        area.className = "rb-said";
        document.body.append(area);
        area.select();
        const done = document.execCommand("copy");
        area.remove();
        return done;
    }

    async function copy(button) {
        const text = button.dataset.copy;
        let done = false;
        try {
            await navigator.clipboard.writeText(text);
            done = true;
        } catch {
            done = copyBySelection(text);
            button.focus();
        }
        const said = done ? "Copied" : "Select and copy by hand";
        button.dataset.said = said;
        announce(said);
        setTimeout(function () {
            delete button.dataset.said;
        }, SHOWN_MS);
    }

    document.addEventListener("click", function (event) {
        const button = event.target.closest?.(".rb-copy");
        if (button) {
            event.preventDefault();
            copy(button);
        }
    });

    function alignHeaders() {
        // A column of numbers has its heading above the numbers, whoever wrote the list.
        document.querySelectorAll("table.result-list").forEach(function (table) {
            const headings = [...table.querySelectorAll("thead th")];
            const rows = [...table.querySelectorAll("tr.data-row")].slice(0, 20);
            headings.forEach(function (heading, index) {
                if (rows.some((row) => row.children[index]?.matches(":has(> .rb-amount, > .rb-number)"))) {
                    heading.classList.add("rb-right");
                }
            });
        });
    }

    function openByKeyboard() {
        // Unfold opens filters and the sidebar by click on elements that the keyboard does not reach.
        document.querySelectorAll("a:not([href]), span, div").forEach(function (element) {
            if (element.hasAttribute("x-on:click") && !element.hasAttribute("tabindex") && element.textContent.trim()) {
                element.tabIndex = 0;
                element.setAttribute("role", "button");
            }
        });
        document.addEventListener("keydown", function (event) {
            const chosen = event.target;
            if ((event.key === "Enter" || event.key === " ") && chosen.getAttribute?.("role") === "button" && chosen.tagName !== "BUTTON") {
                event.preventDefault();
                chosen.click();
            }
        });
    }

    function readOut(event) {
        const day = event.target.closest?.("[data-readout]");
        const line = day?.closest(".rb-panel")?.querySelector(".rb-readout");
        if (line) {
            line.textContent = day.dataset.readout;
        }
    }

    /* The sidebar has more than twenty links before the page begins. */
    function offerSkip() {
        const content = document.getElementById("content");
        if (content && document.getElementById("nav-sidebar-apps")) {
            const link = document.createElement("a");
            link.href = "#content";
            link.className = "rb-skip";
            link.textContent = "Skip to the page";
            content.tabIndex = -1;
            document.body.prepend(link);
        }
    }

    document.addEventListener("pointerover", readOut);
    document.addEventListener("DOMContentLoaded", offerSkip);
    document.addEventListener("DOMContentLoaded", alignHeaders);
    document.addEventListener("DOMContentLoaded", openByKeyboard);
})();
