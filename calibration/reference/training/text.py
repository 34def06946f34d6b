"""Build the two tokenizers from the grammar, so that the text encoders stay small and quick."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence

import numpy as np
from models import CLIP_LENGTH, TEXT_LENGTH
from scenes import draw
from subjects import COLOURS, NAMES
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers import models as tokenizer_models
from tokenizers.processors import TemplateProcessing
from transformers import CLIPTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from wordings import PLACES, RELATIONS, say

CLIP_WORDS = Regex(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
CLIP_SIZE = 1200
CORPUS = 20_000
SEED = 4
LETTER_SCORE, WORD_SCORE, PHRASE_SCORE = -12.0, -6.0, -7.0

Tokenizers = tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase]


def make_tokenizers() -> Tokenizers:
    """CLIP's and T5's: always the same."""
    rng = np.random.default_rng(SEED)
    return make_clip_tokenizer(sorted(set(say(rng, draw(rng, CORPUS))))), make_t5_tokenizer()


def make_clip_tokenizer(corpus: list[str]) -> CLIPTokenizer:
    """Byte-level pairs as CLIP has them; every byte is in the vocabulary."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(
        tokenizer_models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>")
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(CLIP_WORDS, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=CLIP_SIZE,
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocab = dict(model["vocab"])
    for letter in sorted(alphabet):
        vocab.setdefault(letter + "</w>", len(vocab))
    merges = [tuple(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=CLIP_LENGTH)


def phrases() -> list[str]:
    """Runs of words that are one piece, so that every prompt fits into TEXT_LENGTH."""
    joined = [f"{r} {a}" for r in (*RELATIONS, "and", "on") for a in ("a", "an")]
    return sorted({*joined, *PLACES, *RELATIONS, *(name for name in NAMES if " " in name)})


def single_words() -> list[str]:
    """All words of the grammar."""
    text = " ".join([*NAMES, *COLOURS, *PLACES, *RELATIONS, "a an and on small big ground"])
    return sorted(set(text.split()))


def pieces(words: Sequence[str], phrases: Sequence[str]) -> list[tuple[str, float]]:
    """A vocabulary with its scores: fewest pieces win; letters spell what is unknown."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0)]
    letters = [(c, LETTER_SCORE) for c in ["▁", *string.printable[:95].strip()]]
    single = [("▁" + w, WORD_SCORE) for w in words]
    joined = [("▁" + p.replace(" ", "▁"), PHRASE_SCORE) for p in phrases]
    return special + letters + single + joined


def make_t5_tokenizer(vocabulary: list[tuple[str, float]] | None = None) -> PreTrainedTokenizerFast:
    """Unigram pieces (default: the grammar's) that end in </s> as T5's do, of lower-cased text."""
    if vocabulary is None:
        vocabulary = pieces(single_words(), phrases())
    tokenizer = Tokenizer(tokenizer_models.Unigram(vocabulary, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(
        replacement="▁", prepend_scheme="always", split=False
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=TEXT_LENGTH,
        padding_side="right",
    )
