"""Where models lie, by kind: folders, and how their files' names end."""

import os

models_dir = "models"
folder_names_and_paths: dict[str, tuple[list[str], set[str]]] = {}


def add_model_folder_path(folder_name: str, full_folder_path: str) -> None:
    folder_names_and_paths.setdefault(folder_name, ([], set()))[0].append(full_folder_path)


def get_filename_list(folder_name: str) -> list[str]:
    folders, endings = folder_names_and_paths[folder_name]
    found = [name for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)]
    return sorted(name for name in found if os.path.splitext(name)[1] in endings)


def get_full_path(folder_name: str, filename: str) -> str | None:
    for folder in folder_names_and_paths[folder_name][0]:
        path = os.path.join(folder, filename)
        if os.path.isfile(path):
            return path
    return None
