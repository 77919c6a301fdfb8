/* Parts of a page that stay up to date: an element with data-live="ADDRESS" is asked for again every other second, until the
   answer says that it is final. A part is only replaced when it changed, so focus and selection stay where they are. */
(function () {
    "use strict";

    const EVERY_MS = 2000;
    const FAILURES_MAX = 5;

    function follow(element) {
        let failures = 0;

        async function refresh() {
            if (!element.isConnected) {
                return;
            }
            if (document.hidden) {
                setTimeout(refresh, EVERY_MS);
                return;
            }
            try {
                const answer = await fetch(element.dataset.live, { headers: { "X-Requested-With": "fetch" }, redirect: "error" });
                if (!answer.ok) {
                    throw new Error(answer.statusText);
                }
                const text = await answer.text();
                if (text !== element.dataset.shown) {
                    element.innerHTML = text;
                    element.dataset.shown = text;
                }
                failures = 0;
                if (answer.headers.get("X-Live") === "final") {
                    element.removeAttribute("aria-busy");
                    return;
                }
            } catch {
                failures += 1;
                if (failures >= FAILURES_MAX) {
                    element.removeAttribute("aria-busy");
                    return;
                }
            }
            setTimeout(refresh, EVERY_MS);
        }

        element.setAttribute("aria-busy", "true");
        setTimeout(refresh, EVERY_MS);
    }

    document.addEventListener("DOMContentLoaded", function () {
        document.querySelectorAll("[data-live]").forEach(follow);
    });
})();
