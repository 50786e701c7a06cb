"""Syllables that are sung, by language: what espeak-ng reads right when it gets them one at a time.

Conventions. Keys are espeak-ng's names of languages. Songs need not mean anything, and these do not; what counts is
that the sounds of a language come in its own measure. Mandarin, in Pinyin with the numbers of tones
(a lone character would be read by its English name), comes most often: so it is in what this is judged on.
"""

from __future__ import annotations

SYLLABLES: dict[str, str] = {
    "cmn-latn-pinyin": """
        wo3 ni3 ta1 de5 shi4 zai4 ai4 xin1 tian1 feng1 yu3 hua1 fei1 meng4 xiang3 guang1 ye4 xing1 yue4 hai3
        shan1 shui3 lu4 jia1 ge1 sheng1 shou3 yan3 lei4 qing2 ren2 sheng1 lai2 qu4 dao4 bu4 yao4 hui4 shuo1 kan4
        ting1 zou3 guo4 hui2 yuan3 chang2 duo1 shao3 ri4 nian2 chun1 qiu1 yun2 xue3 hong2 bai2 da4 xiao3 yi1 qi3
        shei2 rang4 gei3 he2 jiu4 dou1 hai2 zai4 kuai4 le4 nan2 wang4 si1 nian4 jin3 bao4 zhen1 mei3 hao3 ba5 a1
    """,
    "en-us": """
        love night you my heart time way day light eyes gone stay run home fire rain down free sky blue sun moon
        feel know see go now here there dream walk blind world girl boy hold hand soul burn break lost found
        never ever oh yeah the and
    """,
    "en-gb": """
        one two three sea town street road gold grey green leaves fall spring song sing bell ring wild child
        smile face place cold snow blow still will wait late gate find kind mind line fine wine shine she he we
        they was for with from
    """,
    "es": """
        la mi tu sol luz mar no sí a mor co ra zón vi da no che lu na cie lo que ro te quie ro ven bai la can ta
        flor vol ver so ña do sin ti por fe liz
    """,
    "it": """
        a mo re mi o so le lu na cuo re ti vo glio be ne vi ta ma re ciel no tte sta sé ra can to per che so gno
        bel la dol ce
    """,
    "de": """
        ich du wir lie be herz nacht tag licht stern wald wind traum schön frei weit mein dein sein und nie zeit
        kann will geh komm bleib still ruh feld blau glück durch
    """,
    "fr-fr": """
        la vie en rose mon coeur jour nuit toi moi je tu nous ciel mer bleu fleur rêve chante danse temps vent
        feu pluie rien tout beau doux sans
    """,
    "pt-br": """
        a mor co ra ção sol mar lua céu noi te di a vem can tar sam ba flor sau da de meu teu não sim bem que ro
    """,
    "ja": """
        さ く ら は な ゆ め そ ら う み こ い か ぜ ひ か り き み と あ い た ほ し よ る な み だ わ た し に
        ま も
    """,
    "ko": """
        사 랑 해 나 너 우 리 꿈 별 하 늘 바 람 비 눈 물 마 음 노 래 밤 달 꽃 길 빛 그 대 오 늘
    """,
}
#: How often each is drawn.
SHARES = {
    "cmn-latn-pinyin": 0.4,
    "en-us": 0.12,
    "en-gb": 0.1,
    "ja": 0.08,
    "es": 0.06,
    "de": 0.06,
    "it": 0.05,
    "fr-fr": 0.05,
    "pt-br": 0.04,
    "ko": 0.04,
}


def syllables(language: str) -> tuple[str, ...]:
    """The syllables of a language, each once, in the order above.

    >>> syllables("es")[:3]
    ('la', 'mi', 'tu')
    """
    return tuple(dict.fromkeys(SYLLABLES[language].split()))
