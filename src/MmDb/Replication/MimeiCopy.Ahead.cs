using System.Runtime.CompilerServices;
using Leither.MmDb.Log;
using Leither.MmDb.Memory;

namespace Leither.MmDb.Replication;

// Looking ahead in the bytes that are being applied: what the next entries change is fetched from memory while those before them are applied, as the dispatcher
// does for a batch of commands.
public sealed unsafe partial class MimeiCopy
{
    private readonly Lookahead _ahead = new();

    /// <summary>Walks over whole groups some entries ahead of who applies them. It believes nothing: what it does not understand it leaves alone.</summary>
    private sealed class Lookahead
    {
        /// <summary>So many entries lie between the one whose bucket is fetched and the one that is applied; the record is fetched half way.</summary>
        private const int Distance = 16;

        private readonly ulong[] _hashes = new ulong[Distance];
        private readonly Database?[] _databases = new Database?[Distance];
        private byte* _begin, _end, _group, _next;
        private uint _entries;
        private int _seen, _applied;

        /// <summary>Bytes begin: groups, perhaps with a segment's header before them.</summary>
        public void Begin(byte* bytes, int length)
        {
            _begin = _group = bytes;
            _end = bytes + length;
            _entries = 0;
            _seen = _applied = 0;
        }

        /// <summary>The bytes are used up.</summary>
        public void End() => _begin = _group = _next = _end = null;

        /// <summary>An entry is about to be applied.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Reach(Keyspace keyspace, byte* entry)
        {
            if (entry < _begin || entry >= _end)
            {
                // A large one, which was put together elsewhere.
                return;
            }

            _applied++;
            while (_seen < _applied + Distance - 1 && TryNext(out byte* ahead, out uint length))
            {
                See(keyspace, ahead, length);
            }

            int half = _applied + (Distance / 2);
            if (half < _seen && _databases[half % Distance] is { } database)
            {
                database.Keys->PrefetchRecord(_hashes[half % Distance]);
            }
        }

        private void See(Keyspace keyspace, byte* entry, uint length)
        {
            int at = _seen++ % Distance;
            _databases[at] = null;
            if (length <= LogFormat.EntryHeaderBytes + 2 || entry[1] != 0)
            {
                return;
            }

            // The first effect, with a short name: as a rule there is no other.
            byte* effect = entry + LogFormat.EntryHeaderBytes, end = entry + length;
            Database database = keyspace.Databases[0];
            if (effect[0] == (byte)EffectTag.Select && effect[1] < keyspace.Databases.Length)
            {
                database = keyspace.Databases[effect[1]];
                effect += 2;
            }

            if (end - effect < 2 || effect[0] < (byte)EffectTag.Delete || effect[0] >= (byte)EffectTag.FunctionLoad || effect[1] >= 128 || effect[1] > end - effect - 2)
            {
                return;
            }

            _hashes[at] = Hash64.Compute(effect + 2, effect[1], keyspace.HashSeed);
            _databases[at] = database;
            database.Keys->Prefetch(_hashes[at]);
        }

        private bool TryNext(out byte* entry, out uint length)
        {
            while (_entries == 0)
            {
                if (_end - _group >= LogFormat.SegmentHeaderBytes && Unsafe.ReadUnaligned<ulong>(_group) == LogFormat.SegmentMagic)
                {
                    _group += LogFormat.SegmentHeaderBytes;
                }

                if (_end - _group < LogFormat.GroupHeaderBytes || Unsafe.ReadUnaligned<ushort>(_group) != LogFormat.GroupMagic)
                {
                    entry = null;
                    length = 0;
                    return false;
                }

                Group group = Group.Trusted(_group);
                _next = group.Payload;
                _entries = group.Kind == GroupKind.Whole ? group.EntryCount : 0;
                _group = group.TotalBytes <= _end - _group ? _group + group.TotalBytes : _end;
            }

            entry = _next + LogFormat.LengthPrefixBytes;
            length = _group - _next >= LogFormat.LengthPrefixBytes ? Unsafe.ReadUnaligned<uint>(_next) : uint.MaxValue;
            if (length > _group - _next - LogFormat.LengthPrefixBytes)
            {
                // Not a whole group.
                _entries = 0;
                _group = _end;
                return false;
            }

            _next = entry + length;
            _entries--;
            return true;
        }
    }
}
