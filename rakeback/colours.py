"""The admin's two colour scales: a cool grey for nearly everything, petrol for what can be acted on.

Red, orange and green are left to Unfold's labels: failed, look here, done. Lightness falls evenly, so that text
at 600 and above keeps a contrast of 4.5 on white, and 400 and below on the dark page.
"""

from __future__ import annotations

COLOURS: dict[str, dict[str, str]] = {
    "base": {
        "50": "oklch(98.4% .003 230)",
        "100": "oklch(96.6% .005 230)",
        "200": "oklch(92.4% .008 230)",
        "300": "oklch(86.6% .012 232)",
        "400": "oklch(72.0% .020 234)",
        "500": "oklch(55.0% .024 236)",
        "600": "oklch(44.2% .027 238)",
        "700": "oklch(36.6% .029 240)",
        "800": "oklch(27.4% .027 242)",
        "900": "oklch(20.6% .024 244)",
        "950": "oklch(14.0% .020 246)",
    },
    "primary": {
        "50": "oklch(97.6% .014 205)",
        "100": "oklch(94.4% .030 205)",
        "200": "oklch(89.2% .054 206)",
        "300": "oklch(82.4% .082 208)",
        "400": "oklch(74.6% .102 210)",
        "500": "oklch(66.0% .106 212)",
        "600": "oklch(48.6% .088 216)",
        "700": "oklch(42.0% .077 218)",
        "800": "oklch(36.2% .065 220)",
        "900": "oklch(30.8% .053 222)",
        "950": "oklch(23.0% .042 224)",
    },
    "font": {
        "subtle-light": "var(--color-base-500)",
        "subtle-dark": "var(--color-base-400)",
        "default-light": "var(--color-base-700)",
        "default-dark": "var(--color-base-300)",
        "important-light": "var(--color-base-900)",
        "important-dark": "var(--color-base-50)",
    },
}
