"""The words around figures: what rises or falls, what compares, what supposes."""

from __future__ import annotations

import re

_UP = (
    "增长|增加|增厚|增至|增到|上升|提升|提高|上涨|回升|上行|扩大|扩张|走高|走阔|抬升|抬高|攀升|跃升|飙升|"
    "反弹|"
    "净增|多增|多出|拉长|延长|放缓|扩至|升至|升到|升高|涨至|涨到|加大|上浮|新增|改善|多收|拉升|推高|推升|"
    "走升|上移|"
    "多支出|多投|多占用|放大|抬至|拉到|回到|多了|增|升|涨|扩|多|高出|高了|YoY\\s*\\+|yoy\\s*\\+"
)
_DOWN = (
    "下降|下滑|减少|降低|下跌|回落|下行|收窄|收缩|缩减|缩短|压缩|压降|走低|走窄|下调|萎缩|少增|净减|减至|"
    "减到|降至|"
    "降到|跌至|跌到|缩至|缩到|缩小|滑落|滑至|滑到|节约|节省|腾出|释放|少提|砍到|砍至|砍掉|跌破|恶化|走弱|"
    "下移|消耗|减亏|"
    "回吐|摊薄|加快|少计|少了|低了|少|减|降|跌|缩|退至|落至|低出"
)
# Most characters begin no such word: one look at the set of first ones spares a hundred comparisons.
_FIRSTS = "".join(sorted({word[0] for word in (*_UP.split("|"), *_DOWN.split("|"))}))
CHANGE = re.compile(f"(?=[{_FIRSTS}])(?:(?P<up>{_UP})|(?P<down>{_DOWN}))")
"""A word of rise ("up") or fall ("down"); the last one before a figure counts."""

DOWN_NOUN = re.compile("降幅|跌幅|减幅|减少额|降速|降低额|下滑幅度|下降幅度|负增长")
"""Nouns of a fall."""
UP_NOUN = re.compile(
    "增幅|涨幅|增速|增长率|增量|增加额|增额|升幅|增长幅度|增长额|变动额|变动率|变化率|复合增"
)
"""Nouns of a rise, or of a change either way."""
RATE_NOUN = re.compile("增速|增长率|增幅|降幅|涨幅|跌幅|升幅|变动率|变化率|减幅|增长速度|YoY|yoy|YOY")
"""Nouns of a growth rate."""
AMOUNT_NOUN = re.compile("增量|增加额|减少额|增额|增长额|变动额|差额|净增额")
"""Nouns of the amount by which something changed."""
ENDS_AT = re.compile(
    r"(?:至|到|为|达|达到|达成|仅为|升为|降为|变为|转为|位于|报|收于|录得|跌破|突破|实现|只有|仅有|"
    r"至于|到了|达至|恢复到|恢复至|维持在|保持在|处于|稳定在|在|合计|共计|共|计)"
    r"(?:约|近|超过|超|逾|不到|不足|将近|接近|了|大约|仅|历史|低至|高达|\s|[*_：:（(])*$"
)
"""What stands before a figure that is where something got to, not by how much it changed."""

PLAIN_YEARS = re.compile(r"(?:19|20)\d\d\s*(?:[-—–~～至到]\s*(?:19|20)?\d\d)?\s*年?(?:末|底|度)?")
"""Years and spans of years."""

FROM = re.compile(r"(?:由|从|自)(?P<between>[^，,。；;：:、]{0,14})$")
"""Before a figure: something moved from there; "between" is what stands after 由."""
BASE = re.compile(r"(?:较|比|对比|相比|相较于?|相对于?|同|与|环比|对)\s*$")
"""What stands before a period that something is compared with."""

YEAR_ON_YEAR = re.compile("同比|YoY|yoy|YOY|按年|较上年|比上年|较去年|比去年")
"""Words of a change against the year before."""
SEQUENTIAL = re.compile("环比|QoQ|qoq|MoM|较上季|较上月|比上季|比上月|季环比|月环比")
"""Words of a change against the quarter or month before."""
COMPOUND = re.compile(
    "复合(?:年均|年|年化)?(?:增长率|增速|增长速度|增长)|年均复合|年复合|CAGR|cagr|年均(?:增长|增速)|"
    "年化(?:增长|增速)"
)
"""Words of a compound annual rate."""
SHARE = re.compile("占比|比重|比例|份额|占")
"""Words of a share of something."""
SUM = re.compile("合计|累计|共计|总计|之和|加总|合共|加起来|两项|三项|四项")
"""Words of a sum."""
RESPECTIVELY = re.compile("分别|依次|各为")
"""Words that give the figures of a list in order."""
GAP = re.compile("高于|低于|超过|超出|多于|少于|大于|小于|高出|低出|多出|相差|差额|之差|缺口|不及")
"""Words of a difference between two things."""
CONTRIBUTION = re.compile("贡献率|贡献度|贡献了?|拉动|占.{0,6}(?:增量|增长|增加额|增幅|降幅|变动)")
"""Words of a part of a change."""

SPAN = re.compile(
    "(?<!连续)(?<!连)(?:两|三|近两|近三|过去两|过去三)年(?:间|来|内)?(?:累计|合计|共|"
    "复合)?(?=[^，,。；;]{0,3}(?:由|从|增|降|下|上|提|回|收|减|扩|缩|升|累计))"
)
"""Over two or three years: in a sheet of three, from the first to the last."""

ADVICE = re.compile(
    "建议|要求|措施|跟踪|触发|对策|展望|下一?步|评级|操作|条件|目标|监测|关注点|计划|预算|意见|怎么做|"
    "安排|督办|管控要点"
)
"""A heading under which figures are aims."""

ASIDE = re.compile(
    "仍多|还多|再多|仍少|^后|后仍|后却|后反|时(?:下|上|增|减|仍|却|反)|年度仍|年份|略多|略少|的情况下|"
    "背景下|的同时|之际|下反|下仍|下却|情形下|下也|缺口|之外|以外"
)
"""Between a metric and a figure: the figure is another's."""

OVER_YEARS = re.compile("[两三]年")
"""A figure of several years together."""

EFFECT = re.compile("带来|贡献|拖累|规模|效应|因素|影响|拆分|分解|单价|价格|结构")
"""Before a metric's name in its clause: the figure is one cause's part of a change."""

MOVES_ON = re.compile(
    "(?:大幅|小幅|明显|显著|进一步|逐步|快速|一路|略|骤|陡|逐年|连续)*(?:增长|增加|上升|提升|提高|上涨|"
    "回升|扩大|攀升|跃升|下降|下滑|减少|降低|回落|"
    "收窄|缩减|缩短|压缩|压降|拉长|延长|增|升|涨|扩|降|减|跌|缩|转|翻|变)(?:至|到|为)(?:约|近|了)?-?"
)
"""Between two levels of one metric: A降至B."""

LAST_CLAUSE = re.compile("[，,；;：:（(]")
"""Between the clauses before a figure."""

LONG = re.compile("[两三]年|前年|累计")
"""The sentence looks back further than a year."""

YARDSTICK = re.compile(
    "(?:随|随着|跟着|跟随|比|较|按|按照|以|因|用|支撑|覆盖|靠|拖累|带来|贡献|影响|增厚|侵蚀|推高|拉低|"
    "吞噬)(?:当年|本年|上年|同期|全年)?(?:的)?$"
)
"""Right before a metric's name: another's figure is measured by it."""

PLAN = re.compile(
    "(?:建议|方案|措施|要求|对策|提议|行动|安排|步骤)[^，,。；;]{0,10}(?:如下|：|:|[一二两三四五六]项|"
    "[一二两三四五]点|[一二两三四]条)"
)
"""A paragraph that goes on with what should be done."""

SUPPOSED = re.compile(
    "若|看待|分[两三]年|两者叠加|扣掉|即使|加回|复审|触发|两年合[并计]|三年合计|恢复到|压回|作分母|"
    "为分母|统一口径|同口径|剔除|视同|粗略|能否|粗算|条件|跟踪|给予|如果|假设|假定|假如|倘若|如按|"
    "按.{0,12}(?:测算|计算|口径|推算|计)|测算|静态|模拟|情景|倒推|推算|估算|隐含|还原|敏感性|"
    "预计|预期|有望|力争|目标|拟|计划|应带来|应当|需要?补|建议|一旦|届时|未来|指引|"
    "每[^，,。；;]{0,6}?(?:1|一)个?(?:百分点|pct|bp|基点)|每(?:上升|下降|提高|增加|减少|增长|降低|变动|"
    "回落|回升)|"
    "来年|明年|下一?年度?|压力测试|后续|恢复至正常|折算|对应可|可增|理论|中性|乐观|悲观|预测|盈亏平衡|"
    "极端|承诺|宜|监测|预警"
)
"""The sentence from here on tells of what may be."""

NORM = re.compile(
    "不低于|不高于|不超过|不得|不少于|不大于|不小于|上限|下限|红线|警戒|阈值|触发|控制在|压降至|压到|"
    "压至|降至.{0,8}以(?:下|内)|以内|以下即|"
    "监管(?:要求|标准|底线|下限|指标)|达标|底线|门槛|考核|限额|基准|持股比|票面|(?<![毛净润])利率|"
    "LPR|税率|同业|行业|可比|均值|中位|竞争|对手|市占|满产|产能利用|要求|低于.{0,12}(?:即|时|则|就)|"
    "高于.{0,12}(?:即|时|则|就)|"
    "跌破.{0,12}(?:即|时|则|就)|超过.{0,12}(?:即|时|则|就)|回到.{0,12}(?:以[上下]|前)"
)
"""The figure of this clause is a yardstick, or another company's."""

NARROWING = re.compile(
    "以外|之外|外的|增量|边际|海外|境外|国际|境内|国内|出口|内销|外销|线上|线下|直营|加盟|单季|季度|月度|"
    "主业|核心|新业务|老|其他|分部|业务|产品|子公司|"
    "单店|人均|每股|平均|户均|单位|吨|目标|合同|新增|经调整|调整后|母公司|行业|同业|可比|市场|板块|区域|"
    "地区|省|市|"
    "厂|线|型|类|零售|对公|个人|企业|住宅|商业|物业|服务|订阅|硬件|软件|云|广告|游戏|海|东|西|南|北|部分|"
    "项目|客户|渠道|门店|"
    "结算|租金|利息|手续费|代销|债|票据|长期|短期|非|受限|预收|逾期|关注|次级|可疑|重组|核销|拟|新|旧|首|"
    "前五|年均|日均|当季"
)
"""Before a metric's name: it is of a part of the company, or of another."""

_GLUE = (
    "同比|环比|较|比|对比|相比|相较|上年同期|去年同期|上年末|上年|去年|前年|本年|今年|当年|同期|期末|"
    "期初|年末|年初|年底|全年|"
    "报告期内?|本期|上期|基期|季末|三年|两年|一年|连续|近|内|间|期间|时|后|前|"
    "约|约为|大约|将近|接近|超过|超|逾|不到|不足|仅|只|仅仅|高达|多达|低至|至|到|为|是|达|达到|达成|录得|"
    "实现|完成|取得|报|"
    "由|从|自|的|了|又|也|则|并|且|而|但|却|仍|均|都|已|再|还|更|反而|反|亦|就|便|即|其中|其|该|此|这|"
    "一举|一下|"
    "大幅|小幅|明显|显著|略有|略微|略|微|有所|进一步|继续|持续|快速|急剧|骤然|骤|陡|直接|稳步|稳定|逐年|"
    "累计|合计|共计|共|总计|"
    "净|绝对|相应|对应|相当于|升高|上年的|余额|金额|规模|总额|数额|水平|幅度|数值|增速|增幅|降幅|涨幅|"
    "跌幅|升幅|增长率|增量|增额|"
    "变动|变化|增减|差额|差异|一度|最终|实际|整体|总体|基本|同步|同向|反向|逆势|自身|本身|账面|合并|口径|"
    "公司|集团|全行|我行|"
    "我们|申请人|发行人|标的|年内|年度|当期|本报告期|仍然|依然|主要|已经|之后|以后|以上|左右|可|能|会|将|"
    "被|让|使|令|把|在|于|"
    "快于|慢于|高于|低于|大于|小于|不及|好于|优于|弱于|超出|多于|少于|远|远远|远超|明显高于|维持|保持|"
    "处于|下|上|个|年|末|初|"
    "只有|有|存在|出现|呈现|表现|成为|回到|恢复|重回|重新|企稳|转为|转|变为|变|升破|跌破|突破|落|落在|"
    "落到|拉|拉到|"
    "覆盖倍数|覆盖率|覆盖度|覆盖|经计算|经测算|复合|年均|年化|年复合|年均复合|增长速度|复合年|复合年均|"
    "CAGR|YoY|yoy|YOY|QoQ|\\+|因|因而|因此|故|所以|从而|随之|分别|依次|"
    "扭亏|盈利|亏损|减亏|负|正|之|与|和|及|、|其间|同时|此外|另|另外|另有|与此同时|单|单年|单期|一项|"
    "单项|仅此|额|值|数|占比|比例|比重|率"
)
# The longest first: 降幅 is no 降.
_ALL_GLUE = "|".join(sorted({*_UP.split("|"), *_DOWN.split("|"), *_GLUE.split("|")}, key=len, reverse=True))
GLUE = re.compile(
    f"(?:{_ALL_GLUE}|[\\s，,：:（(）)〔〕\\[\\]【】“”\"'‘’*_#>~—–…·|+＋\\-－−=≈/]|--|→|\\d+[.．)）、]|[一二三四五六七八九十]+、|[①-⑳])+"
)
"""Everything that may stand between a metric and its figure without making it another's."""


CAUSE = re.compile(
    f"^(?:主要|则|也|又|却)?(?:因|受|由于|得益于|随|经)[\u4e00-\u9fff]{{1,14}}?(?:影响|带动|推动|拖累|"
    f"驱动|而|，)?(?=(?:大幅|小幅|明显)?(?:{_UP}|{_DOWN}))"
)
"""Why a metric moved, between its name and the move."""


def residue(text: str) -> str:
    """What is left of the words before a figure when the glue is gone; empty if nothing else was there."""
    return GLUE.sub("", CAUSE.sub("", text))


STRICT = re.compile("(?P<up>增|升|涨|提高|抬)|(?P<down>降|减|跌|下滑|回落|收窄|缩)")
"""Words whose direction holds for every metric (放缓 and 改善 depend on it)."""


def reached(text: str) -> bool:
    """Whether the words before a figure, periods left out, say that something got to it: 增长至2025年的."""
    return ENDS_AT.search(PLAIN_YEARS.sub("", text).rstrip("的 ")) is not None


def direction(text: str, behind: str = "") -> int:
    """+1 for a rise, -1 for a fall, 0 for neither: by the last such word before a figure or a noun behind."""
    if DOWN_NOUN.match(behind.lstrip("的 ")):
        return -1
    last = down = None
    for found in CHANGE.finditer(text):
        last = found
    for found in DOWN_NOUN.finditer(text):
        down = found
    if down is not None and (last is None or down.end() >= last.end()):
        return -1
    if last is None:
        return 1 if UP_NOUN.search(text) or UP_NOUN.match(behind.lstrip("的 ")) else 0
    return 1 if last.lastgroup == "up" else -1
