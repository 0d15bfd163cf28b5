"""Names of fictional companies, and the real ones that must not be met by chance."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reward_model.statements.draws import Draws

FIRST = "东中云华同启嘉宁安恒新昌泰海瑞百盛金远博承鸿晋锦骏隆兆庆永凯景润晟弘铭嵩岱沧淮湘赣陇蓟"
SECOND = "劭屿峰拓樾沛泽湛澜衡铠霖岳川昱朔珩麓翎砚棠曜璟嵘澍煦岑琅钧桓庭栩湉骞"
REAL = frozenset("""
贵州茅台 五粮液 泸州老窖 海天味业 伊利股份 蒙牛 青岛啤酒 双汇 农夫山泉 海底捞 蜜雪冰城 瑞幸 绝味食品 安井食品
宁德时代 比亚迪 上汽集团 长城汽车 长安汽车 广汽集团 吉利 小鹏 蔚来 理想汽车 福耀玻璃 潍柴动力 三一重工 徐工机械
中联重科 恒立液压 隆基绿能 通威股份 阳光电源 天合光能 晶澳 晶科 福斯特 恩捷股份 天齐锂业 赣锋锂业 亿纬锂能 华友钴业
万华化学 恒力石化 荣盛石化 宝钢 中国石油 中国石化 中国海油 紫金矿业 中国铝业 海螺水泥 中国神华 长江电力 美的集团
格力电器 海尔智家 海信 老板电器 苏泊尔 石头科技 科沃斯 九阳 迈瑞医疗 恒瑞医药 药明康德 爱尔眼科 片仔癀 云南白药
复星医药 华大基因 海澜之家 安踏 李宁 申洲国际 顺丰 圆通 中通快递 韵达 申通 京东物流 德邦 中国中免 锦江酒店 首旅酒店
华住 亚朵 中公教育 新东方 好未来 华测检测 广电计量 宋城演艺 中青旅 万科 碧桂园 恒大 融创 保利发展 龙湖 绿地控股
招商蛇口 金地集团 新城控股 旭辉 世茂 华润置地 中海地产 滨江集团 华侨城 绿城 远洋集团 金茂 贝壳 碧桂园服务 万物云
工商银行 农业银行 中国银行 建设银行 交通银行 邮储银行 招商银行 兴业银行 浦发银行 中信银行 民生银行 光大银行 平安银行
华夏银行 广发银行 浙商银行 渤海银行 恒丰银行 北京银行 上海银行 江苏银行 宁波银行 南京银行 杭州银行 成都银行 长沙银行
徽商银行 盛京银行 锦州银行 常熟银行 瑞丰银行 渝农商行 沪农商行 张家港行 紫金银行 中国平安 中国人寿 中国太保 中信证券
华泰证券 东方财富 海通证券 阿里巴巴 腾讯 百度 京东 拼多多 美团 网易 字节跳动 快手 哔哩哔哩 小米集团 华为 中兴通讯
海康威视 大华股份 科大讯飞 用友网络 金蝶 恒生电子 同花顺 宝信软件 东软集团 中科曙光 浪潮信息 紫光股份 寒武纪 海光信息
中芯国际 华虹 韦尔股份 兆易创新 北方华创 中微公司 长电科技 通富微电 圣邦股份 卓胜微 士兰微 斯达半导 立讯精密 歌尔股份
蓝思科技 京东方 欧菲光 舜宇光学 工业富联 移远通信 中际旭创 光环新网 三六零 奇安信 深信服 中国移动 中国电信 中国联通
中国中车 中国建筑 中国中铁 中国铁建 中国交建 中国联航 中远海控 同方股份 万达 苏宁易购 永辉超市
""".split())  # fmt: skip
"""Well-known companies as reports call them."""
_TAKEN = frozenset(
    "海澜 华润 海峰 海川 海岳 金峰 金川 金泽 瑞泽 盛泽 东岳 安泽 安川 新泽 恒泽 华岳 华峰 润泽 泰岳 百川 景峰 湘川".split()
)
"""First two characters that a well-known company has made its own."""

_ASCII = re.compile(r"[A-Za-z]")


def company_name(suffixes: Sequence[str], draws: Draws) -> str:
    """A name that no well-known company bears."""
    while True:
        core = draws.of(FIRST) + draws.of(SECOND)
        if core not in _TAKEN:
            return core + draws.of(suffixes)


def core_at(index: int, draws: Draws) -> str:
    """The two characters of the company of this index: no two indices below 1,200 share them.

    ``draws`` settles in which order they come.
    """
    cores = [first + second for first in FIRST for second in SECOND if first + second not in _TAKEN]
    return draws.shuffled(cores)[index % len(cores)]


def real_names(text: str) -> list[str]:
    """The well-known companies that ``text`` names."""
    return sorted(name for name in REAL if name in text)
