"""Small trees in every data set's official layout, with the names and errors of the real release. The contract suite reads them."""

import functools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import scipy.io

from tests.data import layouts
from tests.data.tree import SEVEN, Tree, film, portrait, save, write
from trainables.data.dataset import CLASSES, readers


def cafe(folder: Path) -> Tree:
    tree = Tree("cafe", folder / "databrary30", population="children")
    for name, emotion, metadata in (
        ("6280/9977-angry_F-AA-01.jpg", "anger", {"subject": "F-AA-01", "sex": "F", "mouth_open": False}),
        ("6280/9978-fearfulopen_F-AA-01.jpg", "fear", {"subject": "F-AA-01", "mouth_open": True}),
        ("6401/10541-happy_F-EA-14.jpg", "happiness", {"ethnicity": "EA"}),
        ("6436/10543-surprise_M-LA-07.jpg", "surprise", {"subject": "M-LA-07", "sex": "M"}),
    ):
        tree.add(f"sessions/{name}", emotion, **metadata)
    return tree


def fer2013(folder: Path) -> Tree:
    tree = Tree("fer2013", folder / "fer2013.csv", labels=(".",), knows_ages=False)
    names = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    faces = [portrait(name, code) for code, name in enumerate(names)]
    grey = np.stack([cv2.resize(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), (48, 48), interpolation=cv2.INTER_AREA) for face in faces])
    usages = ["Training"] * 4 + ["PublicTest", "PrivateTest", "PrivateTest"]
    folder.mkdir(exist_ok=True)
    layouts.fer2013(tree.path, grey, range(7), usages)
    for row, (name, face) in enumerate(zip(names, faces, strict=True)):
        tree.expect(f"fer2013.csv row {row}", name, face, split=("train", "train", "train", "train", "val", "test", "test")[row])
    return tree


def fer2013_folders(folder: Path) -> Tree:
    tree = Tree("fer2013_folders", folder / "archive", knows_ages=False)
    words = {"angry": "anger", "disgust": "disgust", "fear": "fear", "happy": "happiness", "neutral": "neutral", "sad": "sadness"}
    for number, (word, emotion) in enumerate((words | {"surprise": "surprise"}).items()):
        tree.add(f"train/{word}/Training_{number}{number}.jpg", emotion, split="train")
    tree.add("test/happy/PublicTest_88305960.jpg", "happiness", split="val")
    tree.add("test/angry/PrivateTest_10131363.jpg", "anger", split="test")
    return tree


def ferplus(folder: Path) -> Tree:
    """Names skip a number, as in the release. Votes are neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, ?, NF."""
    labels = tuple(f"FER2013{part}/label.csv" for part in ("Train", "Valid", "Test"))
    tree = Tree("ferplus", folder / "data", labels=labels, classes=CLASSES, knows_ages=False)
    votes = {
        "FER2013Train": [
            ("fer0000000", "neutral", "7,0,0,1,0,0,0,2,0,0", {"votes_neutral": 7, "votes_contempt": 2, "votes_sadness": 0}),
            ("fer0000002", "contempt", "1,0,0,1,0,0,0,8,0,0", {"votes_contempt": 8, "votes_neutral": 0}),
            ("fer0000003", None, "3,0,0,3,0,0,4,0,0,0", {}),
            ("fer0000005", None, "0,0,0,0,0,0,0,0,1,9", {}),
            ("fer0000006", "sadness", "0,0,0,10,0,0,0,0,0,0", {"votes_sadness": 10}),
        ],
        "FER2013Valid": [("fer0028638", "anger", "0,0,2,0,8,0,0,0,0,0", {"votes_anger": 8, "votes_surprise": 2})],
        "FER2013Test": [("fer0032220", "fear", "0,0,4,0,0,0,6,0,0,0", {"votes_fear": 6, "votes_surprise": 4})],
    }
    splits = {"FER2013Train": "train", "FER2013Valid": "val", "FER2013Test": "test"}
    for subfolder, lines in votes.items():
        for name, emotion, _, metadata in lines:
            if emotion:
                tree.add(f"{subfolder}/{name}.png", emotion, split=splits[subfolder], **metadata)
            else:
                save(tree.path / subfolder / f"{name}.png", portrait("neutral", 50))
        write(tree.path / subfolder / "label.csv", "".join(f'{name}.png,"(0, 0, 48, 48)",{text}\n' for name, _, text, _ in lines))
    return tree


RAF = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")


def rafdb(folder: Path) -> Tree:
    tree = Tree("rafdb", folder / "basic", labels=("EmoLabel/list_patition_label.txt",))
    lines = ""
    for code, emotion in enumerate(RAF, 1):
        for name, split in ((f"train_{code:05}", "train"), (f"test_{code:04}", "test")):
            lines += f"{name}.jpg {code}\n"
            group = ("0-3", "4-19", "20-39", "40-69", "70+")[code % 5]
            metadata = {"split": split, "sex": "F" if code % 2 else "M", "ethnicity": "asian", "age_group": group}
            tree.add(f"Image/aligned/{name}_aligned.jpg", emotion, **metadata)
            points = "".join(f"{index}.5\t{index}.25\n" for index in range(5))
            write(tree.path / f"Annotation/manual/{name}_manu_attri.txt", f"{points}{code % 2}\n2\n{code % 5}\n")
            write(tree.path / f"boundingbox/{name}_boundingbox.txt", "1.0 2.0 3.0 4.0 \n")
    write(tree.path / "EmoLabel/list_patition_label.txt", lines)
    return tree


AFFECTNET = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"


def affectnet(folder: Path) -> Tree:
    """Write the older release. Its validation list has no header, as in the distribution."""
    tree = Tree("affectnet", folder / "AffectNet", labels=("Manually_Annotated_file_lists",), classes=CLASSES, knows_ages=False)
    marks = ";".join(["1.5"] * 136)
    for name, split in (("training", "train"), ("validation", "val")):
        lines = [HEADER] if split == "train" else []
        for code, emotion in enumerate((*AFFECTNET, "none", "uncertain", "no face")):
            file = f"{code}{split}/{code:032x}.jpg"
            rated = (-2, -2) if code in (9, 10) else (round(code / 10, 2), round(-code / 10, 2))
            path = f"Manually_Annotated/Manually_Annotated_Images/{file}"
            if code < 8:
                tree.add(path, emotion, split=split, valence=rated[0], arousal=rated[1])
            else:
                save(tree.path / path, portrait("neutral", code))
            lines.append(f"{file},0,0,64,64,{marks},{code},{rated[0]},{rated[1]}")
        write(tree.path / f"Manually_Annotated_file_lists/{name}.csv", "\n".join(lines) + "\n")
    return tree


def affectnet_sets(folder: Path) -> Tree:
    """Write the newer release. Its values are in npy files, as strings in some copies and as numbers in others."""
    tree = Tree("affectnet", folder / "AffectNet", labels=("train_set/annotations/1_exp.npy",), classes=CLASSES, knows_ages=False)
    for name, split in (("train_set", "train"), ("val_set", "val")):
        for code, emotion in enumerate(AFFECTNET):
            tree.add(f"{name}/images/{code + 1}.jpg", emotion, split=split, valence=code / 10, arousal=-0.5)
            annotations = tree.path / name / "annotations"
            annotations.mkdir(exist_ok=True)
            for kind, value in (("exp", code), ("val", code / 10), ("aro", -0.5), ("lnd", 7.0)):
                np.save(annotations / f"{code + 1}_{kind}.npy", np.array(str(value)) if split == "train" else np.array(value))
    return tree


RATINGS = """Semantic Ratings Data
# HAP SAD SUR ANG DIS FEA PIC
-----------------------------------
1 2.87 2.52 2.16 1.97 2.03 2.06 KA-AN1
2 4.87 1.52 1.16 1.97 1.03 1.06 KL-HA2

Semantic Ratings Data (Fear Excluded)
# HAP SAD SUR ANG DIS PIC
1 1.00 1.00 1.00 1.00 1.00 KA-AN1
"""


def jaffe(folder: Path) -> Tree:
    tree = Tree("jaffe", folder / "jaffe", population="adults")
    for name, emotion, metadata in (
        ("KA.AN1.39.tiff", "anger", {"subject": "KA", "exemplar": 1, "rating_happiness": 2.87, "rating_fear": 2.06}),
        ("KL.HA2.159.tiff", "happiness", {"subject": "KL", "exemplar": 2, "rating_happiness": 4.87}),
        ("NM.SU3.104.tiff", "surprise", {"subject": "NM", "exemplar": 3}),
        ("YM.DI1.64.tiff", "disgust", {}),
        ("UY.FE4.1.tiff", "fear", {"exemplar": 4}),
        ("TM.NE2.2.tiff", "neutral", {}),
        ("MK.SA1.3.tiff", "sadness", {"sex": "F"}),
    ):
        tree.add(name, emotion, **metadata)
    write(tree.path / "README_FIRST.txt", RATINGS)
    return tree


CK = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")


def ckplus(folder: Path) -> Tree:
    tree = Tree("ckplus", folder / "CK+", options={"peak": "2"}, labels=("Emotion",), classes=CLASSES, population="adults")
    for code, emotion in enumerate(CK[1:], 1):
        sequence = f"S{code:03}/001"
        stem = sequence.replace("/", "_")
        for number in range(1, 5):
            file = f"cohn-kanade-images/{sequence}/{stem}_{number:08}.png"
            metadata = {"subject": f"S{code:03}", "sequence": sequence, "place": number}
            if number == 2:
                save(tree.path / file, portrait("neutral", 40))
            else:
                tree.add(file, emotion if number > 2 else "neutral", **metadata)
        write(tree.path / f"Emotion/{sequence}/{stem}_00000004_emotion.txt", f"   {code}.0000000e+00\n")
    save(tree.path / "cohn-kanade-images/S999/002/S999_002_00000001.png", portrait("neutral", 41))  # no label
    return tree


def ck48(folder: Path) -> Tree:
    tree = Tree("ckplus", folder / "CK+48", classes=tuple(CK[1:]), population="adults")
    for code, (word, emotion) in enumerate({name: name for name in ("anger", "contempt", "disgust", "fear")}.items()):
        tree.add(f"{word}/S{code:03}_001_00000010.png", emotion, subject=f"S{code:03}")
    tree.add("happy/S010_004_00000017.png", "happiness", subject="S010")
    tree.add("sadness/S011_004_00000017.png", "sadness")
    tree.add("surprise/S011_001_00000017.png", "surprise", sequence="S011/001")
    return tree


def rafd(folder: Path) -> Tree:
    tree = Tree("rafd", folder / "RaFD", classes=CLASSES)
    words = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
    for word, emotion in zip(words, CLASSES, strict=True):
        tree.add(f"Rafd090_41_Kid_female_{word}_frontal.jpg", emotion, subject="41", sex="F", group="kid", ethnicity="caucasian", angle=90)
        tree.add(f"Rafd045_29_Moroccan_male_{word}_left.jpg", emotion, subject="29", sex="M", ethnicity="moroccan", angle=45, gaze="left")
    return tree


def ddcf(folder: Path) -> Tree:
    tree = Tree("ddcf", folder / "DDCF", classes=(*SEVEN, "pleased"), population="children")
    for name, emotion, metadata in (
        ("Afraid/S04/S04_13yoM_Afraid_far left 1.jpg", "fear", {"subject": "S04", "age": 13, "sex": "M", "view": "far left"}),
        ("Disgusted/S99/S99_7yoF_Disgust_front_3892.JPG", "disgust", {"age": 7, "sex": "F", "view": "front"}),
        ("Disgusted/S98/S98_8yof_Digust_far left 3.jpg", "disgust", {"sex": "F"}),
        ("Happy/S04/S04_13yoM_HappyTeeth_right 2.jpg", "happiness", {}),
        ("Pleased/S04/S04_13yoM_HappyNoTeeth_left_12.jpg", "pleased", {}),
        ("Pleased/S99/S99_7yoF_Pleased_Front_3.jpg", "pleased", {"view": "front"}),
        ("Neutral/S111/S111_13yoF_front1.JPG", "neutral", {"subject": "S111", "view": "front"}),
        ("Neutral/S112/S112_9yoM_exp_left_1.JPG", "neutral", {"view": "left"}),
        ("Angry/S04/S04_13yoM_Angry_leftg 4.jpg", "anger", {}),
        ("Sad/S04/S04_13yoM_Sad_front 1.jpg", "sadness", {}),
        ("Surprised/S04/S04_13yoM_Surprise_right 1.jpg", "surprise", {}),
    ):
        tree.add(name, emotion, **metadata)
    save(tree.path / "Sad/S04/edited/S04_13yoM_Sad_front 2.jpg", portrait("sadness", 30))
    return tree


def nimh_chefs(folder: Path) -> Tree:
    tree = Tree("nimh_chefs", folder / "NIMH", classes=("anger", "fear", "happiness", "neutral", "sadness"), population="children")
    for name, emotion, metadata in (
        ("Afraid_averted/F10FA_4434.jpg", "fear", {"subject": "F10", "sex": "F", "gaze": "averted"}),
        ("Afraid_averted/F6_2FA_5449.jpg", "fear", {"subject": "M06", "sex": "M"}),
        ("Afraid_averted/M10_FA_6823.jpg", "fear", {"subject": "M10"}),
        ("Afraid_averted/M6FA__5449.jpg", "fear", {"subject": "M06"}),
        ("Angry_direct/F6_1_AS_3929.jpg", "anger", {"subject": "F06", "gaze": "straight"}),
        ("Happy_averted/F38HA_1_9330.jpg", "happiness", {"subject": "F38"}),
        ("Happy_averted/F1H1A_3424.jpg", "happiness", {"subject": "F01"}),
        ("Neutral_direct/M13NS_6118.jpg", "neutral", {}),
        ("Sad_averted/M3-2SA_4764.jpg", "sadness", {"subject": "M03"}),
    ):
        tree.add(name, emotion, **metadata)
    return tree


def liris_cse(folder: Path) -> Tree:
    tree = Tree("liris_cse", folder / "LIRIS", options={"frames": "2"}, classes=SEVEN[:4] + SEVEN[5:], population="children")
    table = "Sr. No;Sex;Age\nS1;F;7\n08;M;6\n"
    for clip, emotion, metadata in (
        ("S1_fear_surprise_1", "fear", {"subject": "S1", "sex": "F", "age": 7, "second": "surprise"}),
        ("S8_suprise", "surprise", {"subject": "S8", "sex": "M", "age": 6}),
        ("S9_happy_5_aloud", "happiness", {"subject": "S9"}),
        ("S11_anger", "anger", {}),
    ):
        faces = [portrait(emotion, 10 + len(tree.rows) + number) for number in range(2)]
        film(tree.path / "videos_208" / f"{clip}.mp4", faces)
        for number, face in enumerate(faces):
            tree.expect(f"videos_208/{clip}.mp4#{number}", emotion, face, clip=clip, frame=number, **metadata)
    write(tree.path / "summaryParticipansts.csv", table)
    return tree


def emoreact(folder: Path) -> Tree:
    labels = ("curiosity", "uncertainty", "excitement", "happiness", "surprise", "disgust", "fear", "frustration")
    tree = Tree(
        "emoreact",
        folder / "EmoReact_V_1.0",
        options={"frames": "2"},
        labels=("Labels/val_labels.text", "Train_names.txt"),
        population="children",
    )
    tree.classes = ("disgust", "fear", "happiness", "surprise", "curiosity", "excitement", "frustration", "uncertainty")
    clips = {
        "train": [("80'sTOYS115_2", "1,0,1,0,0,0,0,0,5.5"), ("iPOD93_2", "0,0,0,1,0,0,0,0,7")],
        "val": [("OLDTOYS1_1", "0,0,0,0,0,0,0,0,4")],
        "test": [("ZOOM_3", "0,0,0,0,0,1,0,0,1")],
    }
    for split, folder_name in (("train", "Train"), ("val", "Validation"), ("test", "Test")):
        names, lines = "", ""
        for clip, text in reversed(clips[split]):  # not in the order of a directory listing
            quoted = clip.replace("'", "''")
            names, lines = names + f"'{quoted}.mp4'\n", lines + text + "\n"
            values = [float(value) for value in text.split(",")]
            shown = [label for label, value in zip(labels, values, strict=False) if value]
            metadata = {f"emoreact_{label}": int(value) for label, value in zip(labels, values, strict=False)}
            faces = [portrait(shown[0] if shown else "neutral", 20 + len(tree.rows) + number) for number in range(2)]
            film(tree.path / f"Data/{folder_name}/{clip}.mp4", faces)
            for number, face in enumerate(faces):
                metadata |= {"split": split, "clip": clip, "frame": number, "valence": (values[-1] - 4) / 3}
                tree.expect(f"Data/{folder_name}/{clip}.mp4#{number}", shown[0] if len(shown) == 1 else None, face, **metadata)
        write(tree.path / f"{split.capitalize()}_names.txt", names + "\n")
        write(tree.path / f"Labels/{split}_labels.text", lines)
    return tree


def imdb_wiki(folder: Path) -> Tree:
    tree = Tree("imdb_wiki", folder / "wiki_crop", labels=("wiki.mat",), classes=())
    born = {"1981-03-01": 723606, "2000-09-01": 730730}  # Matlab date numbers; September is after mid-year, to which ages refer
    rows = []
    for number, (day, taken, sex, name, score, second_score, age) in enumerate(
        [
            ("1981-03-01", 2009, 1.0, "A Man", 4.3, np.nan, 28.0),
            ("2000-09-01", 2009, 0.0, "A Girl", 2.5, np.nan, 8.0),
            ("2000-09-01", 2009, np.nan, "Nobody Knows", 1.5, np.nan, 8.0),
            ("1981-03-01", 2009, 1.0, "No Face", -np.inf, np.nan, None),
            ("1981-03-01", 2009, 1.0, "Two Faces", 3.0, 2.0, None),
            ("2000-09-01", 1990, 1.0, "Not Born", 3.0, np.nan, None),
        ]
    ):
        file = f"{number:02}/{number}_{day}_{taken}.jpg"
        rows.append((born[day], taken, file, sex, name, score, second_score))
        if age is None:
            save(tree.path / file, portrait("neutral", number))
        else:
            tree.add(file, None, subject=name, sex={1.0: "M", 0.0: "F"}.get(sex), age=age)
    names = ("dob", "photo_taken", "full_path", "gender", "name", "face_score", "second_face_score")
    columns = zip(*rows, strict=True)
    struct = {
        name: np.array(column, object if name in ("full_path", "name") else float)[None]
        for name, column in zip(names, columns, strict=True)
    }
    scipy.io.savemat(tree.path / "wiki.mat", {"wiki": struct})
    return tree


def vggface2(folder: Path) -> Tree:
    tree = Tree("vggface2", folder / "VGGFace2", classes=())
    for file in ("train/n000002/0001_01.jpg", "train/n000002/0002_01.jpg", "train/n000003/0001_01.jpg", "test/n000001/0003_02.jpg"):
        split, subject, _ = file.split("/")
        tree.add(file, None, subject=subject, split=split, sex="M" if subject == "n000001" else "F")
    meta = (
        'Class_ID, Name, Sample_Num, Flag, Gender\nn000001, "14th Dalai, Lama", 424, 0, m\nn000002, "A_B", 2, 1, f\nn000003, "C", 1, 1, f\n'
    )
    write(tree.path / "identity_meta.csv", meta)
    return tree


def folders(folder: Path) -> Tree:
    tree = Tree("folders", folder / "NovaEmotions", classes=(*SEVEN, "anxiety"))
    words = ("Anger", "disgusted", "afraid", "HAPPY", "neutral", "sad", "surprise", "anxiety")
    for word, emotion in zip(words, (*SEVEN, "anxiety"), strict=True):
        tree.add(f"train/{word}/a.png", emotion, split="train")
        tree.add(f"Validation/{word}/deeper/b.png", emotion, split="val")
    return tree


def images(folder: Path) -> Tree:
    tree = Tree("images", folder / "pool", classes=())
    for file in ("b/2.png", "a.jpg", "b/1.png"):
        tree.add(file, None, look="fear")
    return tree


TREES: dict[str, Callable[[Path], Tree]] = {
    make.__name__: make
    for make in (
        cafe, fer2013, fer2013_folders, ferplus, rafdb, affectnet, affectnet_sets, jaffe, ckplus, ck48, rafd, ddcf, nimh_chefs,
        liris_cse, emoreact, imdb_wiki, vggface2, folders, images,
    )
}  # fmt: skip
TREES |= {
    kind: functools.partial(Tree.from_example, kind, reader.example)  # a reader that is a single file has its own
    for kind, reader in readers().items()
    if reader.example
}
