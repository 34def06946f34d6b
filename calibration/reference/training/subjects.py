"""What a scene may show: forty subjects, by their pictures' code points, and eight grounds."""

from __future__ import annotations

SUBJECTS = {
    "banana": "1f34c",
    "basketball": "1f3c0",
    "book": "1f4d5",
    "burger": "1f354",
    "bus": "1f68c",
    "butterfly": "1f98b",
    "cactus": "1f335",
    "car": "1f697",
    "carrot": "1f955",
    "cat": "1f431",
    "dog": "1f436",
    "doughnut": "1f369",
    "fish": "1f420",
    "football": "26bd",
    "frog": "1f438",
    "ghost": "1f47b",
    "gift": "1f381",
    "guitar": "1f3b8",
    "heart": "2764-fe0f",
    "house": "1f3e0",
    "ladybug": "1f41e",
    "lion": "1f981",
    "mushroom": "1f344",
    "octopus": "1f419",
    "owl": "1f989",
    "panda": "1f43c",
    "penguin": "1f427",
    "pig": "1f437",
    "pineapple": "1f34d",
    "pizza": "1f355",
    "red apple": "1f34e",
    "rocket": "1f680",
    "rose": "1f339",
    "star": "2b50",
    "strawberry": "1f353",
    "sunflower": "1f33b",
    "tree": "1f333",
    "turtle": "1f422",
    "watermelon": "1f349",
    "whale": "1f433",
}
NAMES = tuple(sorted(SUBJECTS))

GROUNDS = {
    "blue": (90, 150, 230),
    "green": (110, 190, 110),
    "grey": (140, 145, 150),
    "orange": (245, 165, 90),
    "pink": (245, 170, 195),
    "purple": (160, 120, 210),
    "white": (245, 245, 245),
    "yellow": (245, 220, 110),
}
COLOURS = tuple(sorted(GROUNDS))
